import pytest
import torch
from torch import nn
from torch.nn import functional

from geoseg.nn.networks.pidnet_blocks import (
    BoundaryFusion,
    ContextPooling,
    LightBoundaryFusion,
    PixelAttention,
    basic_block,
    basic_stage,
    bottleneck,
)


@pytest.fixture(autouse=True)
def _without_gradients():
    with torch.no_grad():
        yield


def silence(module):
    """Make what a module's last layers give nought."""
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)


def test_attention_at_indifference_is_the_mean_of_both():
    attention = PixelAttention(6, 4, 2).eval()
    silence(attention.detail_key)  # the keys do not agree: a share of one half
    detail, context = torch.randn(1, 4, 8, 8), torch.randn(1, 6, 4, 4)
    coarse = functional.interpolate(attention.compress(context), size=(8, 8), mode="bilinear")
    torch.testing.assert_close(attention(detail, context), (detail + coarse) / 2)


@pytest.mark.parametrize(("sign", "wanted"), [(1, "context"), (-1, "detail")])
def test_attention_takes_the_context_where_the_keys_agree(sign, wanted):
    attention = PixelAttention(4, 4, 4).eval()
    for key in (attention.detail_key, attention.context_key):
        nn.init.zeros_(key[0].weight)
        nn.init.constant_(key[1].bias, 10.0)  # 4 channels of 10 * 10: a sure agreement
    nn.init.constant_(attention.context_key[1].bias, 10.0 * sign)
    detail, context = torch.randn(1, 4, 8, 8), torch.randn(1, 4, 4, 4)
    coarse = functional.interpolate(attention.compress(context), size=(8, 8), mode="bilinear")
    expected = {"context": coarse, "detail": detail}[wanted]
    torch.testing.assert_close(attention(detail, context), expected)


def test_fusion_takes_detail_at_boundaries_and_context_elsewhere():
    fusion = BoundaryFusion(4).eval()
    detail, context = torch.randn(2, 1, 4, 6, 6)
    sure = torch.full((1, 4, 6, 6), 60.0)
    torch.testing.assert_close(fusion(detail, context, sure), fusion.conv(detail))
    torch.testing.assert_close(fusion(detail, context, -sure), fusion.conv(context))


def test_light_fusion_adds_the_other_branch_by_the_boundary():
    fusion = LightBoundaryFusion(4).eval()
    detail, context = torch.randn(2, 1, 4, 6, 6)
    sure = torch.full((1, 4, 6, 6), 60.0)
    to_detail, to_context = fusion.detail_conv, fusion.context_conv
    torch.testing.assert_close(
        fusion(detail, context, sure), to_detail(detail) + to_context(context + detail)
    )
    torch.testing.assert_close(
        fusion(detail, context, -sure), to_detail(detail + context) + to_context(context)
    )


def pooled_levels(pooling, features):
    """Each scale by the kernels and strides of the paper, enlarged again."""
    size = features.shape[2:]
    means = [
        functional.avg_pool2d(features, side, stride, side // 2)
        for side, stride in ((5, 2), (9, 4), (17, 8))
    ]
    means.append(features.mean(dim=(2, 3), keepdim=True))
    projected = [scale[1:](mean) for scale, mean in zip(pooling.scales, means, strict=True)]
    return [functional.interpolate(level, size=size, mode="bilinear") for level in projected]


def test_parallel_pooling_works_on_each_scale_by_itself():
    pooling = ContextPooling(6, 4, 5, parallel=True).eval()
    features = torch.randn(1, 6, 16, 20)
    own = pooling.own(features)
    norm, _, conv = pooling.process[0]
    levels = torch.cat([level + own for level in pooled_levels(pooling, features)], dim=1)
    shares = functional.relu(norm(levels)).split(4, dim=1)
    weights = conv.weight.split(4)
    processed = [
        functional.conv2d(share, weight, padding=1)
        for share, weight in zip(shares, weights, strict=True)
    ]
    expected = pooling.compress(torch.cat([own, *processed], dim=1)) + pooling.shortcut(features)
    torch.testing.assert_close(pooling(features), expected)


def test_serial_pooling_hands_each_scale_on_to_the_next():
    pooling = ContextPooling(6, 4, 5, parallel=False).eval()
    features = torch.randn(1, 6, 16, 20)
    one, two, three, four = pooled_levels(pooling, features)
    y0 = pooling.own(features)
    y1 = pooling.process[0](one + y0)
    y2 = pooling.process[1](two + y1)
    y3 = pooling.process[2](three + y2)
    y4 = pooling.process[3](four + y3)
    expected = pooling.compress(torch.cat([y0, y1, y2, y3, y4], 1)) + pooling.shortcut(features)
    torch.testing.assert_close(pooling(features), expected)


@pytest.mark.parametrize("parallel", [True, False])
def test_pooling_learns_from_a_single_image_of_few_cells(parallel):
    pooling = ContextPooling(6, 4, 5, parallel=parallel).train()
    for size in ((2, 2), (1, 1)):
        assert torch.isfinite(pooling(torch.randn(1, 6, *size))).all()


def test_a_silent_block_is_its_way_around():
    features = torch.randn(1, 4, 6, 6)
    for block in (basic_block(4, 4), bottleneck(4, 2)):
        silence(block.layers)
        torch.testing.assert_close(block.eval()(features), features)
    rectified = basic_block(4, 4, rectify=True).eval()
    silence(rectified.layers)
    torch.testing.assert_close(rectified(features), features.relu())


def test_only_the_last_block_of_a_stage_is_not_rectified():
    stage = basic_stage(4, 8, 3, stride=2)
    assert [block.rectify for block in stage] == [True, True, False]
    assert stage(torch.randn(1, 4, 8, 8)).shape == (1, 8, 4, 4)
