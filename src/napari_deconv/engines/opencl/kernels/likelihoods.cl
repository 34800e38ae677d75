// Ratios of data y and model u that are projected back, 0 where masked.

__kernel void damped_ratio(__global float *light, __global const float *data,
                           __global const float *background, const int background_stride,
                           __global const float *mask, const int mask_stride,
                           const float floor_value, const float threshold, const int n) {
    const int i = get_global_id(0);
    if (i >= n) return;
    const float y = data[i], u = fmax(light[i] + background[i * background_stride], floor_value);
    const float deviance = (y > 0.0f ? y * log(y / u) : 0.0f) - y + u;
    const float d = clamp(deviance / threshold, 0.0f, 1.0f);
    const float damped = pown(d, 9) * (10.0f - 9.0f * d);
    light[i] = mask[i * mask_stride] * (1.0f + damped * (y / u - 1.0f));
}

__kernel void stabilized_ratio(__global float *light, __global const float *data,
                               __global const float *background, const int background_stride,
                               __global const float *mask, const int mask_stride,
                               const float offset, const int n) {
    const int i = get_global_id(0);
    if (i >= n) return;
    const float u = fmax(light[i] + background[i * background_stride], 0.0f);
    light[i] = mask[i * mask_stride] * sqrt((data[i] + offset) / (u + offset));
}
