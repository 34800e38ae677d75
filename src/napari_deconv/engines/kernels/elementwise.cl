__kernel void fill(__global float *out, const float value, const int n) {
    const int i = get_global_id(0);
    if (i < n) out[i] = value;
}

__kernel void copy(__global const float *source, __global float *out, const int n) {
    const int i = get_global_id(0);
    if (i < n) out[i] = source[i];
}

__kernel void subtract(__global const float *first, __global const float *second,
                       __global float *out, const int n) {
    const int i = get_global_id(0);
    if (i < n) out[i] = first[i] - second[i];
}
