// Half spectra as pairs (real, imaginary); one work item a frequency.

float2 times(const float2 a, const float2 b) {
    return (float2)(a.x * b.x - a.y * b.y, a.x * b.y + a.y * b.x);
}

float2 conjugate(const float2 a) { return (float2)(a.x, -a.y); }

__kernel void multiply(__global float2 *spectrum, __global const float2 *otf, const int n) {
    const int i = get_global_id(0);
    if (i < n) spectrum[i] = times(spectrum[i], otf[i]);
}

__kernel void multiply_conjugate(__global float2 *spectrum, __global const float2 *otf,
                                 const int n) {
    const int i = get_global_id(0);
    if (i < n) spectrum[i] = times(spectrum[i], conjugate(otf[i]));
}

// The first term overwrites a sum, the others add to it.
__kernel void add_product(__global const float2 *spectrum, __global const float2 *otf,
                          const int term, __global float2 *total, const int n) {
    const int i = get_global_id(0);
    if (i >= n) return;
    const float2 before = term == 0 ? (float2)(0.0f) : total[i];
    total[i] = before + times(spectrum[i], otf[i]);
}

__kernel void product_with_conjugate(__global const float2 *spectrum, __global const float2 *otf,
                                     __global float2 *out, const int n) {
    const int i = get_global_id(0);
    if (i < n) out[i] = times(spectrum[i], conjugate(otf[i]));
}

// H* / (|H|² + P)
__kernel void wiener(__global float2 *otf, __global const float *penalty, const int penalty_stride,
                     const int n) {
    const int i = get_global_id(0);
    if (i >= n) return;
    const float2 h = otf[i];
    const float power = dot(h, h) + penalty[i * penalty_stride];
    otf[i] = power > 0.0f ? conjugate(h) / power : (float2)(0.0f);
}

// 1 / (H + ε), 0 where |H + ε| < ε/2
__kernel void inverse(__global float2 *otf, const float epsilon, const int n) {
    const int i = get_global_id(0);
    if (i >= n) return;
    const float2 h = otf[i] + (float2)(epsilon, 0.0f);
    const float power = dot(h, h);
    otf[i] = power >= 0.25f * epsilon * epsilon ? conjugate(h) / power : (float2)(0.0f);
}
