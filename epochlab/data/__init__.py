"""Images: MNIST, CIFAR-10, what stands in for them, and your own."""
