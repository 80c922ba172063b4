"""Losses of the published networks: functions of tensors, each the equation of its paper without loops.

The rule of this file: rows are labelled utterances. Padding and unlabelled utterances are selected away before, so no
loss knows of masks, and a batch without any row costs 0 and has gradients of 0.
"""

from itertools import combinations

import torch
from torch import Tensor
from torch.nn import functional

UNLABELLED = -100  # such utterances are context for the model and left out of what needs a label


def focal(logits: Tensor, labels: Tensor, gamma: float) -> Tensor:
    """Cross-entropy that looks away from what is already right: mean of -(1 - p_y)^gamma log p_y.

    Source: Lin et al. 2017, "Focal Loss for Dense Object Detection", equation 4; gamma = 0 is cross-entropy.
    Shapes: logits (N, C), labels (N,) -> ()
    """
    log_p = functional.log_softmax(logits, dim=-1).gather(1, labels[:, None])
    return _weigh_focus(log_p, gamma).sum() / max(len(labels), 1)


def sample_weights(labels: Tensor, classes: int, alpha: float) -> Tensor:
    """How much the utterances of each class count: (N / n_c)^alpha, 0 for a class without any.

    Source: MultiEMO (Shi and Huang, ACL 2023), the first factor of equation 19.
    Shapes: labels (N,) -> (classes,)
    """
    counts = torch.bincount(labels, minlength=classes)
    return torch.where(counts > 0, (len(labels) / counts.clamp(min=1)) ** alpha, 0.0)


def swfc(z: Tensor, labels: Tensor, weights: Tensor, gamma: float, temperature: float) -> Tensor:
    """Sample-weighted focal contrastive loss, summed over the anchors j.

        s_jg = exp(z_j . z_g / temperature) / sum over s != j of exp(z_j . z_s / temperature)
        loss = - sum_j w_(y_j) / |R_j| * sum over g in R_j of (1 - s_jg)^gamma log s_jg

    R_j are the other rows with the label of j; an anchor without one adds 0. Rows are normalised to unit length first.
    Source: MultiEMO (Shi and Huang, ACL 2023), equations 18 and 19; the normalisation is its release's.

    Shapes: z (N, D), labels (N,), weights (C,) of the classes -> ()
    """
    unit = functional.normalize(z, dim=-1)
    itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
    similarity = unit @ unit.T / temperature
    log_s = similarity.masked_fill(itself, torch.finfo(z.dtype).min).log_softmax(dim=-1)
    positive = (labels[:, None] == labels) & ~itself
    # Masked before the power: the diagonal would turn gradients into inf * 0.
    terms = _weigh_focus(log_s.masked_fill(~positive, 0.0), gamma)
    return (weights[labels] * terms.sum(1) / positive.sum(1).clamp(min=1)).sum()


def soft_hgr(views: Tensor) -> Tensor:
    """Soft Hirschfeld-Gebelein-Renyi correlation of several views of the same rows, negated.

        loss = - sum over pairs of views (E[Q^T V] - 1/2 tr(cov(Q) cov(V)))

    Q and V are centred; cov is D x D with 1 / (N - 1).

    Source: MultiEMO (Shi and Huang, ACL 2023), equation 20, each unordered pair once.

    Shapes: views (N, M, D) -> ()
    """
    rows = len(views)
    centred = views - views.sum(0) / max(rows, 1)
    covariance = torch.einsum("nmd,nme->mde", centred, centred) / max(rows - 1, 1)
    total = views.new_zeros(())
    for q, v in combinations(range(views.shape[1]), 2):
        together = (centred[:, q] * centred[:, v]).sum() / max(rows, 1)
        total = total + together - (covariance[q] * covariance[v]).sum() / 2  # tr(A B) of symmetric A and B
    return -total


def soft_hgr_as_released(views: Tensor) -> Tensor:
    """What MultiEMO's release computes for `soft_hgr`: nothing centred, covariance of samples instead of features.

    cov is N x N, over the D features of each row, and its trace term is divided by N. For comparison only.

    Shapes: views (N, M, D), D >= 2 -> ()
    """
    rows, width = len(views), views.shape[2]
    centred = views - views.mean(2, keepdim=True)
    total = views.new_zeros(())
    for q, v in combinations(range(views.shape[1]), 2):
        together = (views[:, q] * views[:, v]).sum() / max(rows, 1)
        cross = centred[:, q].T @ centred[:, v]  # tr(Q Q^T V V^T) = |Q^T V|^2: D x D is enough for it
        total = total + together - cross.square().sum() / (width - 1) ** 2 / max(rows, 1) / 2
    return -total


def concordance(estimate: Tensor, rating: Tensor) -> Tensor:
    """Concordance correlation (Lin 1989, "A concordance correlation coefficient to evaluate reproducibility"), which is
    1 only where the values are equal, not merely in proportion; 0 where both are constant.

        CCC = 2 cov(x, y) / (var(x) + var(y) + (mean(x) - mean(y))^2)

    As a loss, 1 - CCC: it gave a higher CCC than squared and absolute error did for valence and arousal on IEMOCAP and
    MSP-IMPROV (Atmaja and Akagi 2021, "Evaluation of error- and correlation-based loss functions for multitask learning
    dimensional speech emotion recognition").

    Shapes: (n,), (n,) -> ()
    """
    apart = (estimate.mean() - rating.mean()).square()
    spread = estimate.var(correction=0) + rating.var(correction=0) + apart
    covariance = ((estimate - estimate.mean()) * (rating - rating.mean())).mean()
    return 2 * covariance / spread.clamp(min=torch.finfo(spread.dtype).tiny)


def disagreement(estimates: Tensor, ratings: Tensor) -> Tensor:
    """Sum over the dimensions of 1 - CCC, over what was rated and is estimated (no NaN); of less than two utterances
    there is none. Shapes: (n, D), (n, D) -> ()
    """
    both = estimates.isfinite() & ratings.isfinite()
    columns = [(estimates[rows, d], ratings[rows, d]) for d, rows in enumerate(both.unbind(-1)) if rows.sum() > 1]
    return torch.stack([1.0 - concordance(*column) for column in columns]).sum() if columns else ratings.new_zeros(())


def similarity_focal(logits: Tensor, labels: Tensor, similarity: Tensor, alpha: Tensor, gamma: float) -> Tensor:
    """SAF loss as SAFSD-GLNet's release means it: focal cross-entropy against soft labels.

        loss = - mean over rows n and classes c of alpha_c (1 - p_nc)^gamma log p_nc S[y_n, c]

    Its minimum gives probability to look-alike classes; `confusable_focal` is the form that separates them.

    Shapes: logits (N, C), labels (N,), similarity (C, C) with a row per true class, alpha (C,) -> ()
    """
    terms = alpha * similarity[labels] * _weigh_focus(functional.log_softmax(logits, dim=-1), gamma)
    return terms.sum() / max(terms.numel(), 1)


def confusable_focal(
    logits: Tensor, labels: Tensor, similarity: Tensor, alpha: Tensor, focus: tuple[float, float]
) -> Tensor:
    """Focal loss that weighs an utterance more, the more probability its look-alike classes have.

        loss = - mean over rows n of alpha_y (1 - p_y)^gamma (1 + lambda sum over c != y of S[y, c] p_c) log p_y

    Source: ours, for what the SAFSD-GLNet paper wants of its SAF loss. Without similarities it is focal loss.

    Shapes: logits (N, C), labels (N,), similarity (C, C) with a row per true class, alpha (C,), focus (gamma, lambda)
    -> ()
    """
    gamma, sharpness = focus
    log_p = functional.log_softmax(logits, dim=-1)
    own = torch.zeros_like(log_p, dtype=torch.bool).scatter(1, labels[:, None], True)
    alike = (similarity[labels].masked_fill(own, 0.0) * log_p.exp()).sum(-1)
    terms = alpha[labels] * (1.0 + sharpness * alike) * _weigh_focus(log_p[own], gamma)
    return terms.sum() / max(len(labels), 1)


def class_similarity(confusion: Tensor) -> Tensor:
    """Which classes look alike, from how often they were taken for each other: symmetric, 1 on the diagonal.

        S[a, b] = (r_ab + r_ba) / (r_aa + r_bb), at most 1, of the rates r = confusion / its row sums

    The confusion must come from training folds, never from a set that is scored.

    Shapes: confusion (C, C) counts with a row per label -> (C, C)
    """
    rates = confusion / confusion.sum(1, keepdim=True).clamp(min=1)
    right = rates.diagonal()
    alike = (rates + rates.T) / (right[:, None] + right).clamp(min=torch.finfo(rates.dtype).tiny)
    return alike.clamp(max=1.0).fill_diagonal_(1.0)


def distillation(
    student: Tensor, teacher: Tensor, temperature: float = 1.0, *, through_teacher: bool = False
) -> Tensor:
    """How far the student's probabilities are from the teacher's: mean over rows of KL(teacher || student).

    Both are softened by the temperature, and the teacher is held still. For students inside a network (SAFSD-GLNet and
    its ancestor SDT), and for a causal network whose teacher is its two-sided twin:
    `distillation(pack(causal(batch), lengths), pack(twin(batch), lengths), temperature)`. Needs no labels.

    Shapes: student and teacher logits (N, C) -> ()

    Args:
        student: logits that learn.
        teacher: logits to learn from.
        temperature: above 1, the small probabilities count more.
        through_teacher: let the teacher move towards the student, too (the release of SAFSD-GLNet).
    """
    if not through_teacher:
        teacher = teacher.detach()
    soft = functional.log_softmax(teacher / temperature, dim=-1)
    learnt = functional.log_softmax(student / temperature, dim=-1)
    return functional.kl_div(learnt, soft, reduction="sum", log_target=True) / max(len(student), 1)


def _weigh_focus(log_p: Tensor, gamma: float) -> Tensor:
    # expm1 keeps 1 - p exact near p = 1; the bound keeps the slope of (1 - p)^gamma finite at p = 1 for gamma < 1.
    away = -torch.expm1(log_p).clamp(max=-torch.finfo(log_p.dtype).tiny)
    return -(away**gamma) * log_p
