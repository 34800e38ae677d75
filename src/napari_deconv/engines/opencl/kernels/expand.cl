// A radial table (planes, radii) to pixels: each pixel is a weighted sum of a few radii (CSR rows).
__kernel void expand(__global const float *table, __global const int *starts,
                     __global const int *columns, __global const float *values,
                     __global float *out, const int radii, const int pixels, const int n) {
    const int i = get_global_id(0);
    if (i >= n) return;
    const int pixel = i % pixels, plane = i / pixels;
    float total = 0.0f;
    for (int k = starts[pixel]; k < starts[pixel + 1]; ++k)
        total += values[k] * table[plane * radii + columns[k]];
    out[i] = total;
}
