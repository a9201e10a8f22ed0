"""Ensemble inference in numpy, from the formulas of docs/runner_protocol.md alone; float64 throughout.

    fused = ensemble_reference.fuse([logits_a, logits_b], "mean")     # each member: passes x samples x classes
    figures = ensemble_reference.calibration(fused.probabilities, fused.prediction, labels)
"""

import dataclasses

import numpy as np

EPSILON = 1e-6
BINS = 15


@dataclasses.dataclass
class Fused:
    probabilities: np.ndarray  # samples x classes
    prediction: np.ndarray
    confidence: np.ndarray
    entropy: np.ndarray
    aleatoric: np.ndarray
    epistemic: np.ndarray
    disagreement: np.ndarray


def softmax(logits):
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def entropy(probabilities):
    """Over the last axis, in nats; 0 ln 0 is 0."""
    safe = np.where(probabilities > 0, probabilities, 1)
    return -(probabilities * np.log(safe)).sum(axis=-1)


def fuse(logits, fusion, weights=None):
    """logits: one array a member, passes x samples x classes."""
    passes = [softmax(np.asarray(one, dtype=np.float64)) for one in logits]
    members = np.stack([one.mean(axis=0) for one in passes])  # members x samples x classes
    count, samples, _ = members.shape
    if fusion in ("mean", "vote"):
        share = np.full((count, samples), 1 / count)
    elif fusion == "weighted":
        share = np.repeat(np.asarray(weights, dtype=np.float64)[:, None], samples, axis=1)
    else:
        share = 1 / (entropy(members) + EPSILON)
    share = share / share.sum(axis=0)
    mixed = np.einsum("ms,msc->sc", share, members)
    choices = members.argmax(axis=2)  # members x samples
    prediction = mixed.argmax(axis=1)
    if fusion == "vote":
        votes = np.stack([np.bincount(choices[:, i], minlength=mixed.shape[1]) for i in range(samples)])
        prediction = np.where(votes == votes.max(axis=1, keepdims=True), mixed, -1).argmax(axis=1)
    total = entropy(mixed)
    aleatoric = sum(share[m] * entropy(passes[m]).mean(axis=0) for m in range(count))
    return Fused(probabilities=mixed, prediction=prediction, confidence=mixed[np.arange(samples), prediction],
                 entropy=total, aleatoric=aleatoric, epistemic=total - aleatoric,
                 disagreement=(choices != prediction).mean(axis=0))


def calibration(probabilities, prediction, labels):
    samples = np.arange(len(labels))
    right = prediction == labels
    confidence = probabilities[samples, prediction]
    edges = np.linspace(0, 1, BINS + 1)
    ece = 0.0
    for low, high in zip(edges[:-1], edges[1:]):
        inside = (confidence > low) & (confidence <= high)
        if inside.any():
            ece += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    one_hot = np.eye(probabilities.shape[1])[labels]
    return {"accuracy": right.mean(), "nll": -np.log(probabilities[samples, labels]).mean(),
            "brier": ((probabilities - one_hot) ** 2).sum(axis=1).mean(), "ece": ece}
