// max(p + γ c, lowest) where N is above the threshold, 0 elsewhere
__kernel void descend(__global float *correction, __global const float *guess, const float step,
                      __global const float *normalization, const int normalization_stride,
                      const float threshold, const float lowest, const int n) {
    const int i = get_global_id(0);
    if (i >= n) return;
    const float value = fmax(guess[i] + step * correction[i], lowest);
    correction[i] = normalization[i * normalization_stride] > threshold ? value : 0.0f;
}

// 0 where a step against `uphill` would leave x >= 0, or N is not above the threshold
__kernel void restrict_to_bounds(__global float *uphill, __global const float *estimate,
                                 __global const float *normalization,
                                 const int normalization_stride, const float threshold,
                                 const int n) {
    const int i = get_global_id(0);
    if (i >= n) return;
    const bool is_free = estimate[i] > 0.0f || uphill[i] < 0.0f;
    if (!is_free || !(normalization[i * normalization_stride] > threshold)) uphill[i] = 0.0f;
}

__kernel void laplacian(__global const float *image, __global float *out, const float wz,
                        const float wy, const float wx, const int nz, const int ny, const int nx) {
    const int i = get_global_id(0);
    if (i >= nz * ny * nx) return;
    const int x = i % nx, y = (i / nx) % ny, z = i / (nx * ny);
    const int row = i - x, column = i - y * nx, pillar = i - z * ny * nx;
    const float twice = 2.0f * image[i];
    const float along_x = image[row + (x + 1) % nx] + image[row + (x + nx - 1) % nx];
    const float along_y =
        image[column + (y + 1) % ny * nx] + image[column + (y + ny - 1) % ny * nx];
    const float along_z =
        image[pillar + (z + 1) % nz * ny * nx] + image[pillar + (z + nz - 1) % nz * ny * nx];
    out[i] = wz * (along_z - twice) + wy * (along_y - twice) + wx * (along_x - twice);
}
