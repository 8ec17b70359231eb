"""The compiled loops against the slow, obvious sums."""

import numpy as np
import pytest

from tusi.numerics.local_inverse import local_inverse, neighbour_table
from tusi.numerics.normal_equations import hat_matrix, node_information, pair_blocks, spot_blocks
from tusi.numerics.peaks import blob_energy, laplacian_of_gaussian, local_maxima, subpixel_peaks
from tusi.numerics.row_shifts import add_row_shift_derivative, row_responses, row_shift_variance
from tusi.numerics.spots import add_spots, add_width_derivative, likelihood_gain, sweep_spots, weigh

SHAPE, WIDTH, RADIUS = (40, 44), 2.3, 9.25
POSITION = np.array([[12.3, 14.1], [17.9, 19.2], [-1.5, 30.0], [33.4, 40.8]])
AMPLITUDE = np.array([10.0, 7.0, 5.0, 12.0])
NOISE = np.array([1.0, 0.0, 0.5, 1e-3, np.inf])
N_NODES = (3, 3)


def spot(centre, width=WIDTH):
    """Return one spot of unit height, cut off like the compiled ones."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(float)
    dy, dx = y - centre[0], x - centre[1]
    inside = (np.abs(dy) <= RADIUS) & (np.abs(dx) <= RADIUS)
    return np.where(inside, np.exp(-(dy**2 + dx**2) / (2 * width**2)), 0.0), dy, dx


def rendered(position=POSITION, amplitude=AMPLITUDE, width=WIDTH):
    return sum(height * spot(centre, width)[0] for centre, height in zip(position, amplitude, strict=True))


def spot_columns():
    """Return the derivative of the image by (y, x, amplitude) of every spot, one column each."""
    columns = []
    for centre, height in zip(POSITION, AMPLITUDE, strict=True):
        value, dy, dx = spot(centre)
        columns += [height * value * dy / WIDTH**2, height * value * dx / WIDTH**2, value]
    return np.stack([column.ravel() for column in columns], axis=1)


@pytest.fixture
def weight():
    return np.random.default_rng(1).uniform(0.2, 1.0, size=SHAPE)


def test_rendering_is_the_sum_of_gaussians():
    image = np.full(SHAPE, 0.25)
    add_spots(image, POSITION, AMPLITUDE, WIDTH, RADIUS)
    np.testing.assert_allclose(image, 0.25 + rendered(), rtol=1e-12)


def test_derivatives_are_those_of_the_rendering():
    step = 1e-5
    by_width, by_shift = np.zeros(SHAPE), np.zeros(SHAPE)
    add_width_derivative(by_width, POSITION, AMPLITUDE, WIDTH, RADIUS)
    add_row_shift_derivative(by_shift, POSITION, AMPLITUDE, WIDTH, RADIUS)
    wider = (rendered(width=WIDTH * np.exp(step)) - rendered(width=WIDTH * np.exp(-step))) / (2 * step)
    moved = (rendered(POSITION + [0, step]) - rendered(POSITION - [0, step])) / (2 * step)
    np.testing.assert_allclose(by_width, wider, atol=1e-6)
    np.testing.assert_allclose(by_shift, moved, atol=1e-6)


def test_weigh_is_pearson_and_leaves_saturated_pixels_out():
    image, model = np.array([[4.0, 9.0, 9.0]]), np.array([[2.0, 8.0, 10.0]])
    residual, inverse = np.empty_like(model), np.empty_like(model)
    chi_square = weigh(image, model, np.array([1.0, 0.0, 0.0, 0.1, 9.0]), residual, inverse)
    np.testing.assert_allclose(inverse, [[1 / 2, 1 / 8, 0]])
    assert chi_square == pytest.approx(4 / 2 + 1 / 8)


def test_likelihood_gain_is_exact_for_constant_variance():
    before, after, inverse = np.array([[1.0, -2.0]]), np.array([[0.5, 1.0]]), np.array([[2.0, 4.0]])
    gain = likelihood_gain(before, inverse, after, inverse)
    assert gain == pytest.approx(0.5 * float(((before**2 - after**2) * inverse).sum()))


def test_blocks_are_those_of_the_dense_information_matrix(weight):
    residual = np.random.default_rng(2).normal(size=SHAPE)
    derivative = np.zeros(SHAPE)
    add_width_derivative(derivative, POSITION, AMPLITUDE, WIDTH, RADIUS)
    spots = (POSITION, AMPLITUDE, WIDTH, RADIUS)
    spacing = tuple((size - 1) / (n - 1) for size, n in zip(SHAPE, N_NODES, strict=True))
    images = (weight, weight * residual, weight * derivative)
    gradient, own, to_nodes, first_node, to_width = spot_blocks(images, spots, spacing, N_NODES)
    pairs = np.array([[0, 1], [0, 2], [1, 3]])
    blocks = pair_blocks(weight, spots, pairs)
    columns, w = spot_columns(), weight.ravel()
    dense = (columns * w[:, None]).T @ columns
    np.testing.assert_allclose(gradient.ravel(), columns.T @ (w * residual.ravel()), atol=1e-9)
    np.testing.assert_allclose(to_width.ravel(), columns.T @ (w * derivative.ravel()), atol=1e-9)
    for atom in range(len(POSITION)):
        np.testing.assert_allclose(own[atom], dense[3 * atom : 3 * atom + 3, 3 * atom : 3 * atom + 3], atol=1e-9)
    for (first, second), block in zip(pairs, blocks, strict=True):
        expected = dense[3 * first : 3 * first + 3, 3 * second : 3 * second + 3]
        np.testing.assert_allclose(block, expected, atol=1e-9)
    along_y, along_x = (hat_matrix(size, n) for size, n in zip(SHAPE, N_NODES, strict=True))
    hats = np.einsum("yi,xj->yxij", along_y, along_x).reshape(w.size, -1)
    coupling = np.zeros((len(POSITION), 3, N_NODES[0] + 1, N_NODES[1] + 1))
    for atom, (row, column) in enumerate(first_node):
        coupling[atom, :, row : row + 3, column : column + 3] = to_nodes[atom].reshape(3, 3, 3)
    np.testing.assert_allclose(coupling[:, :, :3, :3].reshape(12, 9), (columns * w[:, None]).T @ hats, atol=1e-9)
    np.testing.assert_allclose(
        node_information(weight, along_y, along_x).toarray(), (hats * w[:, None]).T @ hats, atol=1e-9
    )


def test_local_inverse_is_the_dense_inverse_and_rows_move_atoms_as_least_squares_says(weight):
    spots = (POSITION, AMPLITUDE, WIDTH, RADIUS)
    shift = np.zeros(SHAPE)
    add_row_shift_derivative(shift, *spots)
    _, own, _, _, _ = spot_blocks((weight, weight, weight), spots, (20.0, 20.0), N_NODES)
    pairs = np.array([(a, b) for a in range(4) for b in range(a + 1, 4)])
    blocks = pair_blocks(weight, spots, pairs)
    response, first_row, _ = row_responses(weight * shift, weight, spots)
    absorbed = np.zeros((SHAPE[0], 4 * response.shape[2] + 1))
    covariance, moved = local_inverse(own, blocks, neighbour_table(pairs, 4), (response, first_row), absorbed)
    columns, w = spot_columns(), weight.ravel()
    inverse = np.linalg.inv((columns * w[:, None]).T @ columns)
    by_row = np.zeros((*SHAPE, SHAPE[0]))
    by_row[np.arange(SHAPE[0]), :, np.arange(SHAPE[0])] = shift
    shared = (columns * w[:, None]).T @ by_row.reshape(w.size, -1)
    displaced = inverse @ shared
    for atom in range(4):
        np.testing.assert_allclose(
            covariance[atom], inverse[3 * atom : 3 * atom + 3, 3 * atom : 3 * atom + 3], rtol=1e-8, atol=1e-12
        )
        rows = displaced[3 * atom : 3 * atom + 2]
        np.testing.assert_allclose(moved[atom], rows @ rows.T, rtol=1e-6, atol=1e-12)
    taken = shared.T @ displaced
    centre = absorbed.shape[1] // 2
    for row in range(SHAPE[0]):
        near = np.arange(max(0, row - centre), min(SHAPE[0], row + centre + 1))
        np.testing.assert_allclose(absorbed[row, near - row + centre], taken[row, near], rtol=1e-6, atol=1e-9)


def test_row_shift_variance_tells_shifts_from_noise():
    rng = np.random.default_rng(3)
    information = np.full(20000, 50.0)
    gradient = information * rng.normal(scale=0.3, size=20000) + np.sqrt(information * 1.5) * rng.normal(size=20000)
    total = 1.5 * 1e6 + 0.3**2 * information.sum()
    variance, noise = row_shift_variance(
        gradient, information, np.zeros((20000, 5)), chi_square=(total, 1e6), correlation_area=1.0
    )
    assert np.sqrt(variance) == pytest.approx(0.3, rel=0.02)
    assert noise == pytest.approx(1.5, rel=0.02)


def test_one_sweep_solves_for_an_isolated_spot():
    image = np.zeros(SHAPE)
    add_spots(image, POSITION[:1], AMPLITUDE[:1], WIDTH, RADIUS)
    position, amplitude = POSITION[:1] + 0.2, AMPLITUDE[:1] * 0.9
    model = np.zeros(SHAPE)
    add_spots(model, position, amplitude, WIDTH, RADIUS)
    for _ in range(6):
        sweep_spots(image, model, NOISE, (position, amplitude, WIDTH, RADIUS), np.zeros(3))
    np.testing.assert_allclose(position, POSITION[:1], atol=1e-6)
    np.testing.assert_allclose(model, image, atol=1e-5)


def test_blob_energy_peaks_at_the_scale_of_the_spots():
    image = np.zeros((128, 128))
    add_spots(image, np.array([[40.0, 40.0], [90.0, 85.0]]), np.array([1.0, 1.0]), 3.0, 20.0)
    scales = 3.0 * np.sqrt(2) * 2 ** np.linspace(-1, 1, 33)
    signal, noise = blob_energy(image, scales)
    assert scales[np.argmax(signal - noise)] == pytest.approx(3.0 * np.sqrt(2), rel=0.05)


def test_laplacian_of_gaussian_has_the_textbook_response_and_noise():
    image = np.zeros((81, 81))
    add_spots(image, np.array([[40.0, 40.0]]), np.array([1.0]), 3.0, 30.0)
    response, _, gain = laplacian_of_gaussian(image, 3.0)
    assert response[40, 40] == pytest.approx(0.5, rel=0.05)
    noise, _, _ = laplacian_of_gaussian(np.random.default_rng(4).normal(size=(512, 512)), 3.0)
    assert noise.std() == pytest.approx(gain, rel=0.05)


def test_maxima_count_plateaus_once_and_reach_the_border():
    response = np.zeros((6, 7))
    response[2, 2] = response[2, 3] = 1.0
    response[5, 6] = 2.0
    assert local_maxima(response, 0.5).tolist() == [[2, 2], [5, 6]]
    y, x = np.mgrid[:9, :9]
    peak = subpixel_peaks(-((y - 4.2) ** 2) - (x - 3.9) ** 2, np.array([[4, 4]]))
    np.testing.assert_allclose(peak, [[4.2, 3.9]], atol=1e-9)
