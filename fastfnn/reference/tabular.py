"""Networks for tables: embeddings of the features, members that share their weights, and the training of both.

A row of a table becomes D numbers e, the embeddings of its features one after another. The M members of the network are
multilayer perceptrons that share every weight matrix; a member m has scales and heads of its own:

    x_0m = e * r_m                           the scales of the inputs; of a single member there are none
    u_lm = x_{l-1}m W_l + b_l,               x_lm = f_l(u_lm)                    l = 1 to L - 1
    y_m  = x_{L-1}m V_m + c_m                the heads

That is TabM-mini. With `scaled`, each layer has scales and biases of each member, which is TabM:

    u_lm = s_lm * ((x_{l-1}m * r_lm) W_l) + b_lm

The loss is the mean over samples and members, the prediction the mean over the members.

Sources: Y. Gorishniy, A. Kotelnikov and A. Babenko, "TabM", ICLR 2025; for the embeddings Y. Gorishniy, I. Rubachev and
A. Babenko, "On Embeddings for Numerical Features in Tabular Deep Learning", NeurIPS 2022.

Letters: N samples, B samples in a batch, F features, D embedded inputs, M members, L layers with weights, K outputs.
"""

import math
from typing import NamedTuple

import numpy as np

from .activations import activation_backward, activation_forward
from .dropout import dropout_mask
from .losses import loss_by_code, weighted_loss
from .network import SETTINGS
from .update_rules import update

# What a feature is.
PLAIN, BINS, CATEGORIES = range(3)


class Hidden(NamedTuple):
    """Views of the parameters of a hidden layer; scales and biases have a row for each member, or one for all."""

    scale_in: np.ndarray | None  # (M, I)
    weight: np.ndarray  # (I, O)
    scale_out: np.ndarray | None  # (M, O)
    bias: np.ndarray  # (1, O), or (M, O) with scales of all layers


class Parameters(NamedTuple):
    """Views of a flat vector of parameters, or of their gradient."""

    tables: list[np.ndarray]  # (rows, width) of each feature; without rows for a plain one
    hidden: list[Hidden]
    head: np.ndarray  # (M, H, K)
    head_bias: np.ndarray  # (M, K)


def parameters_of(flat: np.ndarray, features: np.ndarray, sizes: np.ndarray, members: int, scaled: int) -> Parameters:
    """Return the parts of a flat vector (P,), in which they follow one another in the order of the computation."""
    start = 0

    def take(*shape: int) -> np.ndarray:
        nonlocal start
        size = math.prod(shape)
        start += size
        return flat[start - size : start].reshape(shape)

    rows = {PLAIN: 0, BINS: 1, CATEGORIES: 0}  # a table of bins has the bias in its first row
    tables = [take(count + rows[kind] if kind != PLAIN else 0, width) for kind, count, width in features.tolist()]
    *widths, outputs = sizes.tolist()
    hidden = []
    for number in range(1, len(widths)):
        inputs, units = widths[number - 1 : number + 1]
        own = members > 1 and (scaled or number == 1)
        scale_in = take(members, inputs) if own else None
        weight = take(inputs, units)
        each = members > 1 and scaled
        scale_out = take(members, units) if each else None
        hidden.append(Hidden(scale_in, weight, scale_out, take(members if each else 1, units)))
    return Parameters(tables, hidden, take(members, widths[-1], outputs), take(members, outputs))


def bin_of(position: np.ndarray, bins: int) -> np.ndarray:
    """Return the bin of each position: its integer part, but the first or last bin for what lies beyond them."""
    found: np.ndarray = np.clip(np.nan_to_num(np.floor(position)), 0, bins - 1).astype(np.int64)
    return found


def embedded(x: np.ndarray, tables: list[np.ndarray], features: np.ndarray) -> np.ndarray:
    """Return the embeddings (B, D) of rows of features.

    The position p of a number in T bins is t + f: the bin t, and the place f in it. Its piecewise-linear encoding is 1
    for the t bins before, f for bin t and 0 for those behind, and the embedding is the bias plus the product of the
    encoding with the T rows of the weight:

        e = b + sum_{s < t} W_s + f W_t
    """
    parts = []
    for column, table, (kind, count, _) in zip(x.T, tables, features.tolist(), strict=True):
        if kind == PLAIN:
            parts.append(column[:, np.newaxis])
        elif kind == BINS:
            knots, bins = np.cumsum(table, axis=0), bin_of(column, count)
            place = (column - bins.astype(column.dtype))[:, np.newaxis]
            parts.append(knots[bins] + place * (knots[bins + 1] - knots[bins]))
        else:
            with np.errstate(invalid="ignore"):
                not_finite = column - column  # 0, or NaN
            parts.append(table[bin_of(column, count)] + not_finite[:, np.newaxis])
    return np.concatenate(parts, axis=1)


def embedded_backward(grads: list[np.ndarray], grad_out: np.ndarray, x: np.ndarray, features: np.ndarray) -> None:
    """Write the gradients of the tables, from the gradient of the embeddings (B, D)."""
    start = 0
    for column, grad, (kind, count, width) in zip(x.T, grads, features.tolist(), strict=True):
        part = grad_out[:, start : start + width]
        start += width
        if kind == PLAIN:
            continue
        bins = bin_of(column, count)
        grad[...] = 0
        if kind == BINS:
            place = (column - bins.astype(column.dtype))[:, np.newaxis]
            np.add.at(grad, bins, (1 - place) * part)
            np.add.at(grad, bins + 1, place * part)
            grad[...] = np.cumsum(grad[::-1], axis=0)[::-1]  # row s is part of the knots from s on
        else:
            np.add.at(grad, bins, part)


def product(subscripts: str, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return sums of products of two arrays, in the notation of `numpy.einsum`."""
    result: np.ndarray = np.einsum(subscripts, first, second, optimize=True)
    return result


def total(array: np.ndarray, axes: int | tuple[int, ...]) -> np.ndarray:
    """Return the sums of an array over axes."""
    result: np.ndarray = array.sum(axis=axes)
    return result


class Kept(NamedTuple):
    """What the forward pass of a hidden layer keeps: arrays (B, M, I) and (B, M, O)."""

    x: np.ndarray  # before the scales
    scaled: np.ndarray  # the input of the product
    out: np.ndarray  # of the product, before the scales of the outputs
    u: np.ndarray
    mask: np.ndarray | None  # of dropout


def members_forward(
    e: np.ndarray, parts: Parameters, activations: np.ndarray, members: int, setting: dict[str, float], step: int
) -> tuple[np.ndarray, np.ndarray, list[Kept]]:
    """Return the outputs of the members (B, M, K), the last hidden outputs (B, M, H), and what each layer keeps."""
    x, kept = np.repeat(e[:, np.newaxis], members, axis=1), []
    for number, (layer, activation) in enumerate(zip(parts.hidden, activations[:-1], strict=True), 1):
        given = x
        scaled = given if layer.scale_in is None else given * layer.scale_in
        out = product("bmi,io->bmo", scaled, layer.weight)
        u = (out if layer.scale_out is None else out * layer.scale_out) + layer.bias
        x = np.empty_like(u)
        activation_forward(x, u, activation)
        mask = None
        if setting["dropout"]:
            mask = np.empty((len(e) * members, u.shape[2]), u.dtype)
            dropout_mask(mask, number, step, setting["dropout"], setting["dropout_scale"], int(setting["seed"]))
            mask = mask.reshape(u.shape)
            x = x * mask
        kept.append(Kept(given, scaled, out, u, mask))
    return product("bmh,mhk->bmk", x, parts.head) + parts.head_bias, x, kept


def members_backward(
    grads: Parameters, grad_out: np.ndarray, last: np.ndarray, kept: list[Kept], parts: Parameters,
    activations: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """Write the gradients of all layers, from dE/dy (B, M, K); returns dE/de (B, D)."""
    grads.head[...] = product("bmh,bmk->mhk", last, grad_out)
    grads.head_bias[...] = total(grad_out, 0)
    grad = product("bmk,mhk->bmh", grad_out, parts.head)
    for layer, into, own, activation in reversed(
        list(zip(parts.hidden, grads.hidden, kept, activations[:-1], strict=True))
    ):
        if own.mask is not None:
            grad = grad * own.mask
        delta = np.empty_like(own.u)
        activation_backward(delta, grad, own.u, activation)
        into.bias[...] = total(delta, 0 if len(into.bias) > 1 else (0, 1))
        if layer.scale_out is not None and into.scale_out is not None:
            into.scale_out[...] = product("bmo,bmo->mo", delta, own.out)
            delta = delta * layer.scale_out
        into.weight[...] = product("bmi,bmo->io", own.scaled, delta)
        grad = product("bmo,io->bmi", delta, layer.weight)
        if layer.scale_in is not None and into.scale_in is not None:
            into.scale_in[...] = product("bmi,bmi->mi", grad, own.x)
            grad = grad * layer.scale_in
    return total(grad, 1)


def tabular_forward(
    out: np.ndarray,
    params: np.ndarray,
    x: np.ndarray,
    features: np.ndarray,
    sizes: np.ndarray,
    activations: np.ndarray,
    members: int,
    scaled: int,
) -> None:
    """Predictions of a network for tables: the mean of the outputs of its members.

    out          (N, K)    written
    params       (P,)      read: the tables of the features, then the layers and the heads, see `parameters_of`
    x            (N, F)    read: numbers, positions in bins, codes of categories
    features     (F, 3)    int64, read: kind, number of bins or categories, width of the embedding
    sizes        (L + 1,)  int64, read: D, the units of the hidden layers, K
    activations  (L,)      int64, read: of the hidden layers and of the outputs, whose mean is taken
    members                M
    scaled                 whether all layers have scales of the members
    """
    parts = parameters_of(params, features, sizes, members, scaled)
    setting = dict.fromkeys(SETTINGS, 0.0)
    y, _, _ = members_forward(embedded(x, parts.tables, features), parts, activations, members, setting, 1)
    activated = np.empty((len(x) * members, y.shape[2]), y.dtype)
    activation_forward(activated, y.reshape(activated.shape), activations[-1])
    out[...] = total(activated.reshape(y.shape), 1) / members


def tabular_gradient(
    grad_params: np.ndarray,
    params: np.ndarray,
    x: np.ndarray,
    targets: np.ndarray,
    sample_weights: np.ndarray,
    features: np.ndarray,
    sizes: np.ndarray,
    activations: np.ndarray,
    settings: np.ndarray,
    loss_parameters: np.ndarray,
    loss: int,
    step: int,
    members: int,
    scaled: int,
) -> float:
    """Gradient of the mean loss of the members over a batch, E = sum_i w_i sum_m E(y_im) / (B M).

    grad_params      (P,)          written
    params           (P,)          read, see tabular_forward
    x                (B, F)        read
    targets          (B,) int64 labels or (B, K) rows, read
    sample_weights   (B,) or (0,)  read: w; empty if all are 1
    features         (F, 3)        int64, read
    sizes            (L + 1,)      int64, read
    activations      (L,)          int64, read; the last is the identity if the loss includes the output activation
    settings         (13,)         float64, read: dropout, dropout_scale and seed are used, see train_steps
    loss_parameters  (H,)          float64, read, see network_loss
    loss                           an index into LOSSES, or what `compile_loss` returned
    step                           number of the step, from 1, which chooses the masks of dropout
    members, scaled                see tabular_forward

    Returns the mean loss.
    """
    setting = dict(zip(SETTINGS, settings.tolist(), strict=True))
    parts, grads = (parameters_of(flat, features, sizes, members, scaled) for flat in (params, grad_params))
    y, last, kept = members_forward(embedded(x, parts.tables, features), parts, activations, members, setting, step)
    out, wanted = y.reshape(-1, y.shape[2]), np.repeat(targets, members, axis=0)  # a row for each member of each sample
    grad_out = np.empty_like(out)
    value = loss_by_code(grad_out, out, wanted, loss_parameters, loss)
    if len(sample_weights):
        weights = np.repeat(sample_weights, members)
        value = weighted_loss(out, wanted, weights, loss_parameters, loss)
        grad_out *= weights[:, np.newaxis]
    grad_e = members_backward(grads, grad_out.reshape(y.shape), last, kept, parts, activations)
    embedded_backward(grads.tables, grad_e, x, features)
    return value


def tabular_steps(
    params: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    step_losses: np.ndarray,
    x: np.ndarray,
    targets: np.ndarray,
    sample_weights: np.ndarray,
    order: np.ndarray,
    learning_rates: np.ndarray,
    features: np.ndarray,
    sizes: np.ndarray,
    activations: np.ndarray,
    settings: np.ndarray,
    loss_parameters: np.ndarray,
    loss: int,
    optimizer: int,
    batch_size: int,
    steps_before: int,
    members: int,
    scaled: int,
) -> None:
    """Steps of minibatch gradient descent for a network for tables: the update rule on the gradient of each batch.

    params          (P,)          read and written, see tabular_forward
    first, second   (P,) or (0,)  read and written: the state of the update rule; empty if it has none
    step_losses     (S,)          float64, written: the mean loss of each batch before its update
    x               (N, F)        read
    targets         (N,) int64 labels or (N, K) rows, read
    sample_weights  (N,) or (0,)  read: factors of the losses of the samples; empty if all are 1
    order           (E, A)        int64, read: the samples of each epoch
    learning_rates  (S,)          float64, read
    features        (F, 3)        int64, read
    sizes           (L + 1,)      int64, read
    activations     (L,)          int64, read
    settings        (13,)         float64, read, see train_steps; l2 and batch_l2 are not used
    loss_parameters (H,)          float64, read
    loss, optimizer               indices into LOSSES, or what `compile_loss` returned, and into OPTIMIZERS
    batch_size                    samples of a step; the last one of an epoch may have fewer
    steps_before                  number of steps that were taken with this state before
    members, scaled               see tabular_forward
    """
    grad_params = np.empty_like(params)
    clip_norm = settings[SETTINGS.index("clip_norm")]
    batches = [row[i : i + batch_size] for row in order for i in range(0, len(row), batch_size)]
    for step, samples in enumerate(batches):
        number = steps_before + step + 1
        step_losses[step] = tabular_gradient(
            grad_params, params, x[samples], targets[samples],
            sample_weights[samples] if len(sample_weights) else sample_weights, features, sizes, activations, settings,
            loss_parameters, loss, number, members, scaled,
        )  # fmt: skip
        norm = math.sqrt(float((grad_params.astype(np.float64) ** 2).sum()))
        if clip_norm and norm > clip_norm:
            grad_params *= params.dtype.type(clip_norm / norm)
        update(params, first, second, grad_params, float(learning_rates[step]), settings, optimizer, number)
