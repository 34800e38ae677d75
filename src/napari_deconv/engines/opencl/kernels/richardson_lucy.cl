__kernel void ratio(__global float *light, __global const float *data,
                    __global const float *background, const int background_stride,
                    const float floor_value, const int n) {
    const int i = get_global_id(0);
    if (i < n)
        light[i] = data[i] / fmax(light[i] + background[i * background_stride], floor_value);
}

float updated(const float correction, const float guess, const float weight,
              const float threshold) {
    return weight > threshold ? fmax(correction * guess / weight, 0.0f) : 0.0f;
}

float extrapolated(const float x, const float before, const float alpha, const float floor_part) {
    return fmax(x + alpha * (x - before), floor_part * x);
}

__kernel void update(__global float *correction, __global const float *guess,
                     __global const float *divisor, const int divisor_stride,
                     const float threshold, const int n) {
    const int i = get_global_id(0);
    if (i < n)
        correction[i] = updated(correction[i], guess[i], divisor[i * divisor_stride], threshold);
}

__kernel void update_with_momentum(__global float *correction, __global float *guess,
                                   __global const float *divisor, const int divisor_stride,
                                   const float threshold, __global const float *previous,
                                   const float alpha, const float floor_part, const int n) {
    const int i = get_global_id(0);
    if (i >= n) return;
    const float x = updated(correction[i], guess[i], divisor[i * divisor_stride], threshold);
    correction[i] = x;
    guess[i] = extrapolated(x, previous[i], alpha, floor_part);
}

__kernel void extrapolate(__global const float *current, __global const float *previous,
                          __global float *out, const float alpha, const float floor_part,
                          const int n) {
    const int i = get_global_id(0);
    if (i < n) out[i] = extrapolated(current[i], previous[i], alpha, floor_part);
}
