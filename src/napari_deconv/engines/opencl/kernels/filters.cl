// Separable filters along one axis (0 z, 1 y, 2 x), reflecting at the edges: b a | a b c | c b.

int stride_of(const int axis, const int ny, const int nx) {
    return axis == 0 ? ny * nx : (axis == 1 ? nx : 1);
}

int position_of(const int i, const int axis, const int ny, const int nx) {
    return axis == 0 ? i / (nx * ny) : (axis == 1 ? (i / nx) % ny : i % nx);
}

// Each place along the axis has weights of its own, (taps, length), with what is reflected in them:
// a loop without branches is several times faster where the filter is wide.
__kernel void correlate_axis(__global const float *image, __global const float *weights,
                             __global float *out, const int radius, const int taps, const int axis,
                             const int nz, const int ny, const int nx) {
    const int i = get_global_id(0);
    if (i >= nz * ny * nx) return;
    const int length = axis == 0 ? nz : (axis == 1 ? ny : nx);
    const int stride = stride_of(axis, ny, nx), here = position_of(i, axis, ny, nx);
    const int first = clamp(here - radius, 0, length - taps);
    __global const float *line = image + i + (first - here) * stride;
    float total = 0.0f;
    for (int k = 0; k < taps; ++k)
        total += weights[k * length + here] * line[k * stride];
    out[i] = total;
}

__kernel void minimum_axis(__global const float *image, __global float *out, const int radius,
                           const int axis, const int nz, const int ny, const int nx) {
    const int i = get_global_id(0);
    if (i >= nz * ny * nx) return;
    const int length = axis == 0 ? nz : (axis == 1 ? ny : nx);
    const int stride = stride_of(axis, ny, nx), here = position_of(i, axis, ny, nx);
    const int line = i - here * stride;
    // Reflection brings no new value: the clipped window has the same minimum.
    float extreme = image[i];
    for (int k = max(here - radius, 0); k <= min(here + radius, length - 1); ++k)
        extreme = fmin(extreme, image[line + k * stride]);
    out[i] = extreme;
}

__kernel void maximum_axis(__global const float *image, __global float *out, const int radius,
                           const int axis, const int nz, const int ny, const int nx) {
    const int i = get_global_id(0);
    if (i >= nz * ny * nx) return;
    const int length = axis == 0 ? nz : (axis == 1 ? ny : nx);
    const int stride = stride_of(axis, ny, nx), here = position_of(i, axis, ny, nx);
    const int line = i - here * stride;
    float extreme = image[i];
    for (int k = max(here - radius, 0); k <= min(here + radius, length - 1); ++k)
        extreme = fmax(extreme, image[line + k * stride]);
    out[i] = extreme;
}

// Highest apex at which a ball below the image touches it.
__kernel void rolling_ball(__global const float *image, __global const int *offsets,
                           __global const float *drops, const int count, __global float *out,
                           const int nz, const int ny, const int nx) {
    const int i = get_global_id(0);
    if (i >= nz * ny * nx) return;
    const int x = i % nx, y = (i / nx) % ny, z = i / (nx * ny);
    float apex = INFINITY;
    for (int k = 0; k < count; ++k) {
        const int zz = z + offsets[3 * k], yy = y + offsets[3 * k + 1], xx = x + offsets[3 * k + 2];
        if (zz < 0 || yy < 0 || xx < 0 || zz >= nz || yy >= ny || xx >= nx) continue;
        apex = fmin(apex, image[(zz * ny + yy) * nx + xx] + drops[k]);
    }
    out[i] = apex;
}
