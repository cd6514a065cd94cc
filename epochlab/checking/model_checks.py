"""Mistakes in the model: in its last layer, its state, its normalization."""

from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from typing import Any

import keras
from keras.activations import linear, sigmoid, softmax

from .. import _keras
from .call import Call, is_keras, loss_name, output_names
from .finding import Finding


def no_epochs(call: Call) -> Iterator[Finding]:
    if call.initial_epoch and not call.epochs:
        yield Finding(
            "no-epochs",
            symptom="fit trains nothing, raises nothing, and returns an empty history.",
            cause=f"initial_epoch={call.initial_epoch}, and epochs={call.last} is the last epoch, "
            "not how many more to run.",
            cure=f"To run {call.last} more, set epochs={call.initial_epoch + call.last}.",
        )


def constant_softmax(call: Call) -> Iterator[Finding]:
    after = [layer for layer in call.layers(keras.layers.Softmax) if layer.axis == -1]
    activations = call.layers(keras.layers.Activation)
    after += [layer for layer in activations if layer.activation is softmax]
    before = [_keras.producer(getattr(layer, "input", None)) for layer in after]
    for stack in call.layers(keras.Sequential):  # before it is built, its layers have no input
        before += [one for one, other in pairwise(stack.layers) if other in after]
    for layer in call.layers(keras.layers.Dense):
        if layer.units == 1 and (layer.activation is softmax or layer in before):
            yield Finding(
                "constant-softmax",
                symptom=f"{layer.name} returns 1 for every sample, whatever was learned.",
                cause="softmax makes its outputs add up to 1, and this layer has only one.",
                cure='For two classes: Dense(1, activation="sigmoid") and "binary_crossentropy".',
            )


def wrong_logits(call: Call) -> Iterator[Finding]:
    for index, (name, layer) in enumerate(_last_layers(call.model)):
        loss = call.loss_of(index, name)
        expected, made = _expects_logits(loss), _makes_logits(layer)
        if made is None or expected is None or made == expected:
            continue
        yield Finding(
            "wrong-logits",
            symptom="The loss is wrong, and training slow, or stuck."
            + ("" if made else " (TensorFlow, in single precision, warns and mends it.)"),
            cause=f"{layer.name} returns {'logits' if made else 'probabilities'}, and the loss has "
            f"from_logits={expected}.",
            cure=f"Set from_logits={made} in the loss, as in "
            f"SparseCategoricalCrossentropy(from_logits={made}).",
        )


def _last_layers(model: Any) -> list[tuple[Any, Any]]:
    """Return the name and the layer of each output, as far as they are known."""
    if not is_keras(model):  # its call may be its own
        return []
    if isinstance(model, keras.Sequential):
        found = [(None, model.layers[-1])] if model.layers else []
    else:
        layers = map(_keras.producer, keras.tree.flatten(_keras.outputs_struct(model)))
        found = list(zip(output_names(model), layers, strict=False))
    inner = [(name, _last_layers(layer) or [(None, layer)]) for name, layer in found]
    return [(name, last[0][1] if len(last) == 1 else None) for name, last in inner]


def _expects_logits(loss: Any) -> bool | None:
    """Whether a cross-entropy takes logits; `None` for every other loss."""
    if isinstance(loss, keras.losses.Loss):
        return getattr(loss, "from_logits", None) if is_keras(loss) else None
    known = isinstance(loss, str) or getattr(loss, "__module__", "").startswith("keras.")
    return False if known and "crossentropy" in loss_name(loss) else None


def _makes_logits(layer: Any) -> bool | None:
    """Whether a layer returns logits; `None` where it may return anything."""
    activation = getattr(layer, "activation", None)
    if isinstance(layer, keras.layers.Softmax) or activation in (softmax, sigmoid):
        return False
    # An Activation may pass on probabilities, as in mixed precision.
    known = activation is linear and is_keras(layer)
    return True if known and not isinstance(layer, keras.layers.Activation) else None


def lone_sample(call: Call) -> Iterator[Finding]:
    if not call.is_arrays or call.n_train - (call.batches - 1) * call.batch_size != 1:
        return
    if call.ran and call.n_epochs * call.ran[0] < call.batches:  # not reached
        return
    ranks: dict[int, int] = {}
    with suppress(Exception):  # what comes out of a layer is unknown
        for layer, rank in _ranks(call.model, (None, *call.leaf.shape[1:])):
            ranks[id(layer)] = rank
    one, each = "one batch of each pass over the data", call.n_train == call.batches
    alone = f"Batches of {call.batch_size} leave one of {call.n_train} samples alone, which"
    for layer in call.layers(keras.layers.BatchNormalization):
        # With more axes, one sample still has a mean and a variance over the others.
        ndim = layer.input_spec.ndim if layer.built else ranks.get(id(layer))
        if layer.trainable and ndim == 2:
            yield Finding(
                "lone-sample",
                symptom=f"For {'every batch' if each else one}, {layer.name} returns its beta, "
                "whatever the sample, and its moving variance is drawn towards 0.",
                cause=f"{'Each batch is one sample, which' if each else alone} has no variance.",
                cure="Take another batch size, or drop the remainder in tf.data.",
            )
            return


def _ranks(layer: Any, shape: tuple[Any, ...]) -> Iterator[tuple[Any, int]]:
    """Yield a layer and those inside of a stack, with the rank of what comes in; build nothing."""
    yield layer, len(shape)
    if type(layer).call is keras.Sequential.call:
        for part in layer.layers:
            yield from _ranks(part, shape)
            if not is_keras(part) or isinstance(part, keras.layers.Lambda):  # would run its code
                raise NotImplementedError
            shape = part.compute_output_shape(shape)


def trained_model(call: Call) -> Iterator[Finding]:
    iterations = getattr(call.model.optimizer, "iterations", None)
    updates = 0 if iterations is None else int(iterations.numpy())
    # Whoever says that it is for one epoch goes on in a loop.
    if updates and not call.initial_epoch and not call.one_at_a_time:
        yield Finding(
            "trained-model",
            symptom="Training goes on where it was, a learning-rate schedule, too, while the "
            "history begins with epoch 1.",
            cause=f"The model has been trained before: {updates} updates.",
            cure="Build a new model; or, to go on, set initial_epoch to the epochs so far and "
            "epochs to those in all.",
        )


CHECKS = (no_epochs, constant_softmax, wrong_logits, lone_sample, trained_model)
