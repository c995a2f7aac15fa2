"""The functional optimizers against torch.optim."""

from __future__ import annotations

import pytest
import torch

from algorithms.core.optimizers import Adam, clip_elements


@pytest.mark.parametrize("fused", [False, True], ids=["foreach", "fused"])
@pytest.mark.parametrize("beta1", [0.9, 0.0])
def test_adam_is_torch_adam(beta1: float, fused: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    values = {name: torch.randn(shape, generator=generator).double() for name, shape in (("a", (3, 2)), ("b", (4,)))}
    module = {name: torch.nn.Parameter(value.clone()) for name, value in values.items()}
    reference = torch.optim.Adam(module.values(), lr=0.03, betas=(beta1, 0.999))
    ours, moments = values, (optimizer := Adam(0.03, beta1, fused=fused)).init(values)
    for _ in range(5):
        gradients = {name: torch.randn(value.shape, generator=generator).double() for name, value in values.items()}
        for name, parameter in module.items():
            parameter.grad = gradients[name]
        reference.step()
        before = {name: value.clone() for name, value in ours.items()}
        held, held_moments = ours, {name: value.clone() for name, value in moments.items()}
        given_moments = moments
        ours, moments = optimizer.update(ours, gradients, moments)
        assert all(torch.equal(held[name], before[name]) for name in before)
        assert all(torch.equal(given_moments[name], held_moments[name]) for name in held_moments)
        for name, parameter in module.items():
            torch.testing.assert_close(ours[name], parameter.detach(), rtol=1e-12, atol=1e-14)
    assert float(moments["step"]) == 5


@pytest.mark.parametrize("fused", [False, True], ids=["foreach", "fused"])
@pytest.mark.parametrize("beta1", [0.9, 0.0])
def test_adam_is_torch_adam_to_the_bit(beta1: float, fused: bool) -> None:
    """In float32, on parameters that do not fill a vector register, and on gradients of another layout."""
    generator = torch.Generator().manual_seed(0)
    values = {name: torch.randn(shape, generator=generator) for name, shape in (("a", (1, 7, 5)), ("b", (33,)))}
    module = [torch.nn.Parameter(value.clone()) for value in values.values()]
    reference = torch.optim.Adam(module, lr=0.03, betas=(beta1, 0.999), foreach=not fused, fused=fused)
    ours, moments = values, (optimizer := Adam(0.03, beta1, fused=fused)).init(values)
    for _ in range(20):
        gradients = {"a": torch.randn(1, 5, 7, generator=generator).mT, "b": torch.randn(33, generator=generator)}
        gradients["b"][:9] = 0.0  # of units that no example activates
        gradients["b"][9:12] *= 1e-21  # so that squares are zero, or no normal numbers
        for parameter, gradient in zip(module, gradients.values(), strict=True):
            parameter.grad = gradient.contiguous() if fused else gradient  # theirs takes all to be in one order
        reference.step()
        ours, moments = optimizer.update(ours, gradients, moments)
        for name, parameter in zip(values, module, strict=True):
            assert torch.equal(ours[name], parameter.detach())
            assert torch.equal(moments[f"square.{name}"], reference.state[parameter]["exp_avg_sq"])
            assert torch.equal(moments[f"mean.{name}"], reference.state[parameter]["exp_avg"])


def test_clip_bounds_each_element() -> None:
    gradients = {"a": torch.tensor([-20.0, 3.0, 11.0])}
    assert clip_elements(gradients, 10.0)["a"].tolist() == [-10.0, 3.0, 10.0]
    assert clip_elements(gradients, None)["a"].tolist() == [-20.0, 3.0, 11.0]
