"""Every private name of Keras and TensorFlow that this package uses, each with its fallback.

A private name may be gone in the next release. Each function here has a test of what it finds
today and of what happens where the name is missing: unknown, never an error.
"""
