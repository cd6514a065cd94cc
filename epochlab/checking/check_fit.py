"""Mistakes in a call of `fit`, named before training."""

import inspect
from typing import Any

import keras

from .._arguments import instance
from . import callback_checks, data_checks, model_checks
from .call import Call
from .finding import Finding

# What fit takes by name, with its defaults.
_FIT = {
    name: parameter.default
    for name, parameter in inspect.signature(keras.Model.fit).parameters.items()
    if name not in ("self", "x", "y")
}


def check_fit(model: keras.Model, x: Any, y: Any = None, **fit_arguments: Any) -> list[Finding]:
    """Return the mistakes in `model.fit(x, y, **fit_arguments)`, of which Keras says little.

    Takes what `fit` takes, by name after `x` and `y`, and has its defaults. Nothing is run and
    nothing changed: no weight, metric or random state; no batch is taken from a dataset or a
    generator, of whose contents nothing is known therefore. Of datasets it reads the cardinality,
    of arrays the labels, and the validation images where a callback chooses by them. Empty when
    nothing is wrong. What Keras itself refuses before it trains is not repeated.

    - `wrong-mode`, `undecidable-mode`: a callback takes the worst value for the best, or Keras
      cannot tell which is better and fails after the first epoch.
    - `missing-monitor`: the value that a callback follows will not be in the logs, or is put there
      by a later callback.
    - `missing-in-path`: a checkpoint's path asks for a value that is not in the logs.
    - `patience-0`: an early stop at the first epoch without an improvement.
    - `long-patience`, `late-start`: in a run of several epochs, patience that cannot run out, of a
      callback that restores no best weights either; a `start_from_epoch` after the last epoch.
    - `scheduled-plateau`: `ReduceLROnPlateau` and a learning-rate schedule.
    - `short-epochs`, `too-many-steps`: `steps_per_epoch` is not what one pass over data that ends
      has. Not known for a dataset of unknown cardinality and for a generator.
    - `endless-data`: data that never ends, such as a dataset that repeats, without steps.
    - `spent-generator`: a Python generator for several epochs without a number of steps. With
      one, nobody can tell from outside whether it ends.
    - `zero-batches`: no samples; or fewer than a batch, and the rest is dropped.
    - `ignored-batch-size`: for data that comes in batches.
    - `sorted-split`: `validation_split` cuts labels off that training never sees, more than chance
      does, or class-sorted labels. Of single-label classes, one-hot or for a cross-entropy or a
      hinge loss; targets that are no classes may be in order for a reason.
    - `test-set`: a callback chooses by what is known as test data: the 10,000 labels of MNIST in
      their order, whatever was done to the images, or images of which most are test images of
      what `load_data` has loaded in this process, scaled to [0, 1] or [0, 255]. Any other test set
      passes unnoticed, and so does one inside a dataset.
    - `no-epochs`: `initial_epoch` is not below `epochs`, which is no count of further epochs.
    - `constant-softmax`: a softmax over the only output of a `Dense` layer, there or right after.
    - `wrong-logits`: a cross-entropy from logits for a last layer with softmax or sigmoid, or one
      from probabilities for a linear layer. Known where Keras's own layers are the last.
    - `lone-sample`: a last batch of one in `BatchNormalization` over vectors. Known for arrays, and
      for a model not yet built as far as Keras's own layers go.
    - `trained-model`: the optimizer has made updates, and neither an `initial_epoch` nor, as in a
      loop, `epochs=1` says that this is meant.

    Monitors and modes are not known for a model with a `train_step` or metrics of its own, for a
    subclassed one that was never trained, where an unknown callback may add to the logs, and where
    Keras has changed inside. What is not known is no finding.

    Raises `TypeError` for what is no model, for an argument that `fit` does not have and for
    counts and monitors that are none, `ValueError` for a model that is not compiled and for counts
    and splits out of range. Each finding was measured on Keras 3.11 and 3.15.1 with TensorFlow.

    >>> import numpy as np
    >>> x, y = np.ones((10, 4)), np.ones((10, 1))
    >>> model = keras.Sequential([keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> check_fit(model, x, y, batch_size=4, epochs=4)
    []
    >>> findings = check_fit(model, x, y, batch_size=4, epochs=4, steps_per_epoch=10 // 4)
    >>> print(*findings)
    short-epochs: The epochs run 2, 1, 2, 1 batches. The loss and the metrics of a short
             epoch are about its few batches only.
      cause: The data has 3 batches. An epoch ends after steps_per_epoch=2 of them, or where
             the data ends. The next epoch goes on with the batches that are left.
      cure:  Leave steps_per_epoch out.
      see:   notebooks/09_silent_mistakes.ipynb#steps_per_epoch-rounded-down
    """
    instance("model", model, keras.Model, "a keras.Model")
    for name in fit_arguments:
        if name not in _FIT:
            raise TypeError(f"fit_arguments must be among {', '.join(_FIT)}; got {name!r}.")
    if not model.compiled:
        raise ValueError(f"model must be compiled; got {model.name!r}, which is not.")
    call = Call(model, _FIT, {"x": x, "y": y} | fit_arguments)
    checks = (*callback_checks.CHECKS, *data_checks.CHECKS, *model_checks.CHECKS)
    return [finding for check in checks for finding in check(call)]
