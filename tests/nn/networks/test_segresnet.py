import pytest
import torch
from network_exports import assert_exports_agree
from network_figures import bare_network, build, gmacs, parameters
from torch import nn
from torch.nn import functional


def test_counts():
    # yassouali's network, measured.
    network = bare_network("segresnet")
    assert parameters(network) == pytest.approx(53.563, rel=0.01)
    assert gmacs(network, 512) == pytest.approx(49.9, rel=0.03)


@pytest.mark.parametrize("size", [(8, 12), (7, 9)])
def test_the_stem_is_unpooled_where_its_maxima_were(size):
    network = build("segresnet").eval()
    network.stem = network.down = network.up = network.head = nn.Identity()
    image = torch.rand(2, 3, *size)
    padded = functional.pad(image, (1, 1, 1, 1), value=-1.0)
    expected = torch.zeros_like(image)
    for row in range(size[0]):
        for column in range(size[1]):
            # Every window of 3x3 around an even row and column that has this pixel
            rows = [r for r in (row - 1, row, row + 1) if r % 2 == 0 and 0 <= r < size[0]]
            columns = [
                c for c in (column - 1, column, column + 1) if c % 2 == 0 and 0 <= c < size[1]
            ]
            value = image[..., row, column]
            for r in rows:
                for c in columns:
                    highest = padded[..., r : r + 3, c : c + 3].amax(dim=(2, 3))
                    expected[..., row, column][value == highest] = value[value == highest]
    assert torch.equal(network(image), expected)


def test_the_decoder_is_the_mirror_image_of_resnet50():
    network = build("segresnet").eval()
    shapes = []
    for stage in (*network.down, *network.up):
        stage.register_forward_hook(lambda _, __, output: shapes.append(tuple(output.shape[1:])))
    with torch.no_grad():
        assert network(torch.randn(1, 3, 64, 128)).shape == (1, 2, 64, 128)
    down = [(256, 16, 32), (512, 8, 16), (1024, 4, 8), (2048, 2, 4)]
    assert shapes == [*down, *down[-2::-1], (64, 16, 32)]
    assert [len(stage) for stage in network.down] == [3, 4, 6, 3]
    assert [len(stage) for stage in network.up] == [3, 6, 4, 3]
    assert not {id(m) for m in network.down.modules()} & {id(m) for m in network.up.modules()}


@pytest.mark.slow
def test_run_times_outside_of_torch_agree():
    assert_exports_agree(build("segresnet").eval(), torch.randn(1, 3, 32, 64))
