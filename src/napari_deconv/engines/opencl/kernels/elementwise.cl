__kernel void fill(__global float *out, const float value, const int n) {
    const int i = get_global_id(0);
    if (i < n) out[i] = value;
}

__kernel void copy(__global const float *source, __global float *out, const int n) {
    const int i = get_global_id(0);
    if (i < n) out[i] = source[i];
}

__kernel void combine(__global const float *first, const float a, __global const float *second,
                      const float b, __global float *out, const int n) {
    const int i = get_global_id(0);
    if (i < n) out[i] = a * first[i] + b * second[i];
}

__kernel void clip(__global float *array, const float floor_value, const int n) {
    const int i = get_global_id(0);
    if (i < n) array[i] = fmax(array[i], floor_value);
}

// What the model leaves of the data: M (y - u - b).
__kernel void residual(__global float *light, __global const float *data,
                       __global const float *background, const int background_stride,
                       __global const float *mask, const int mask_stride, const int n) {
    const int i = get_global_id(0);
    if (i < n)
        light[i] = mask[i * mask_stride] * (data[i] - (light[i] + background[i * background_stride]));
}
