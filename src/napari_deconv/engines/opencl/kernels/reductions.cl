// One partial sum a work item, in blocks so that single precision does not drift; the host adds
// the partial sums in double precision. Of n voxels, each work item takes every `step`-th from
// where it begins, `share` in all.

#define BLOCK 64

#define SHARES const int workers, const int share, const int apart, const int step, const int n

#define OF_OWN(i) for (int i = worker * apart, k = 0; k < share && i < n; i += step, ++k)

__kernel void sum(__global float *out, SHARES, __global const float *array) {
    const int worker = get_global_id(0);
    if (worker >= workers) return;
    float total = 0.0f, block = 0.0f;
    int count = 0;
    OF_OWN(i) {
        block += array[i];
        if (++count == BLOCK) { total += block; block = 0.0f; count = 0; }
    }
    out[worker] = total + block;
}

__kernel void dot_product(__global float *out, SHARES, __global const float *first,
                          __global const float *second) {
    const int worker = get_global_id(0);
    if (worker >= workers) return;
    float total = 0.0f, block = 0.0f;
    int count = 0;
    OF_OWN(i) {
        block += first[i] * second[i];
        if (++count == BLOCK) { total += block; block = 0.0f; count = 0; }
    }
    out[worker] = total + block;
}

// y ln(y/u) - y + u without cancellation where y is close to u: u·f(t), t = (y - u)/u,
// f(t) = (1 + t) ln(1 + t) - t.
float deviance(const float y, const float u) {
    if (y <= 0.0f) return u;
    const float t = (y - u) / u;
    if (fabs(t) < 0.02f) return u * t * t * (0.5f - t * (1.0f / 6.0f - t * (1.0f / 12.0f)));
    return y * log(y / u) - y + u;
}

__kernel void i_divergence(__global float *out, SHARES, __global const float *light,
                           __global const float *data, __global const float *background,
                           const int background_stride, __global const float *mask,
                           const int mask_stride, const float floor_value) {
    const int worker = get_global_id(0);
    if (worker >= workers) return;
    float total = 0.0f, block = 0.0f;
    int count = 0;
    OF_OWN(i) {
        const float u = fmax(light[i] + background[i * background_stride], floor_value);
        block += mask[i * mask_stride] * deviance(data[i], u);
        if (++count == BLOCK) { total += block; block = 0.0f; count = 0; }
    }
    out[worker] = total + block;
}

__kernel void largest_change(__global float *out, SHARES, __global const float *first,
                             __global const float *second) {
    const int worker = get_global_id(0);
    if (worker >= workers) return;
    float largest = 0.0f;
    OF_OWN(i) largest = fmax(largest, fabs(first[i] - second[i]));
    out[worker] = largest;
}
