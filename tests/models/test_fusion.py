import torch
from torch import nn

from erc_live.models.batch import UtteranceBatch
from erc_live.models.blocks.folded import FoldedFusion
from erc_live.models.blocks.fusion import CLIP, Fusion, RobustScale


def test_robust_scale_ignores_outliers_and_marks_gaps() -> None:
    values = torch.randn(4001, 2) * torch.tensor([3.0, 100.0]) + torch.tensor([5.0, -40.0])
    values[:40, 0] = 1e6
    values[::3, 1] = torch.nan
    scale = RobustScale(2)
    scale.fit(values)
    torch.testing.assert_close(scale.median, torch.tensor([5.0, -40.0]), atol=4.0, rtol=0.1)
    torch.testing.assert_close(scale.spread, torch.tensor([3.0, 100.0]), atol=0.0, rtol=0.1)
    out = scale(torch.tensor([[1e9, torch.nan]]))
    assert out.tolist() == [[CLIP, 0.0, 1.0, 0.0]]


def test_what_the_corpus_never_measured_is_not_heard_later() -> None:
    scale = RobustScale(2)
    scale.fit(torch.tensor([[1.0, torch.nan], [3.0, torch.nan], [2.0, torch.nan]]))
    assert scale(torch.tensor([[2.0, 5.0], [torch.nan, 5.0]])).tolist() == [[0.0, 0.0, 1.0, 0.0], [0.0] * 4]


def test_missing_modalities_leave_no_nan_in_the_gradients() -> None:
    fusion = Fusion((4, 8, 0), width=6, dropout=0.0)
    nothing = UtteranceBatch(
        torch.full((2, 4), torch.nan),
        torch.full((2, 8), torch.nan),
        torch.zeros(2, 0),
        torch.zeros(2, dtype=torch.int64),
        torch.tensor([[False, True, False], [False, False, False]]),
    )
    fusion(nothing).sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in fusion.parameters())
    assert fusion.missing.grad[:, 0].tolist() == [2.0, 1.0, 2.0]


def test_folded_it_takes_what_is_no_number_for_a_gap_as_well() -> None:
    fusion = Fusion((4, 3, 0), width=6, dropout=0.0).eval()
    fusion.scale.fit(torch.randn(50, 3) * torch.tensor([1.0, 200.0, 0.0]) + 5.0)
    nn.init.normal_(fusion.missing)
    values = torch.tensor([5.5, -1e9, torch.nan, torch.inf, -torch.inf, 5.0])
    audio = torch.cartesian_prod(values, values, values)
    count = len(audio)
    said = UtteranceBatch(
        torch.randn(count, 4),
        audio,
        torch.zeros(count, 0),
        torch.zeros(count, dtype=torch.int64),
        torch.tensor([True, True, False]).expand(count, -1),
    )
    folded = FoldedFusion.of(fusion)
    torch.testing.assert_close(folded.joined(folded.inputs(said)), fusion(said), atol=1e-5, rtol=1e-5)
