// The model is on the padded grid (nz, ny, nx), the data (mz, my, mx) lie at its origin.

__kernel void ratio(__global float *model, __global const float *data,
                    __global const float *background, const int background_stride,
                    const float floor_value, const int nz, const int ny, const int nx,
                    const int mz, const int my, const int mx) {
    const int i = get_global_id(0);
    if (i >= nz * ny * nx) return;
    const int x = i % nx, y = (i / nx) % ny, z = i / (nx * ny);
    float value = 0.0f;
    if (x < mx && y < my && z < mz) {
        const int j = (z * my + y) * mx + x;
        value = data[j] / fmax(model[i] + background[j * background_stride], floor_value);
    }
    model[i] = value;
}

__kernel void update(__global float *correction, __global const float *estimate,
                     __global const float *normalization, const int normalization_stride,
                     const float threshold, const int n) {
    const int i = get_global_id(0);
    if (i >= n) return;
    const float weight = normalization[i * normalization_stride];
    correction[i] = weight > threshold ? fmax(correction[i] * estimate[i] / weight, 0.0f) : 0.0f;
}

__kernel void extrapolate(__global const float *current, __global const float *previous,
                          __global float *out, const float alpha, const float floor_part,
                          const int n) {
    const int i = get_global_id(0);
    if (i >= n) return;
    const float x = current[i];
    out[i] = fmax(x + alpha * (x - previous[i]), floor_part * x);
}
