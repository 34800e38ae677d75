// A hash that makes random bits of a counter (PCG: O'Neill 2014; as a hash: Jarzynski & Olano 2020).
uint scrambled(const uint counter) {
    const uint state = counter * 747796405u + 2891336453u;
    const uint word = ((state >> ((state >> 28) + 4u)) ^ state) * 277803737u;
    return (word >> 22) ^ word;
}

// Binomial(n, 1/2): a random bit for each photon, from 64 on by the normal law.
float half_of(const float photons, const uint a, const uint b) {
    if (photons < 64.0f) {
        const ulong bits = ((ulong)a << 32) | b;
        return (float)popcount(bits & (((ulong)1 << (uint)photons) - 1));
    }
    const float u = (a + 0.5f) / 4294967296.0f, angle = b / 4294967296.0f;
    const float deviation = sqrt(-2.0f * photons * log(u)) * cospi(2.0f * angle);
    return clamp(rint(0.5f * (photons + deviation)), 0.0f, photons);
}

__kernel void split_photons(__global const float *data, const float photon, const float offset,
                            const int seed, __global float *first, __global float *second, const int n) {
    const int i = get_global_id(0);
    if (i >= n) return;
    const uint a = scrambled(scrambled((uint)seed) ^ (uint)i), b = scrambled(a ^ 0x9e3779b9u);
    const float dark = fmin(data[i], offset), y = (data[i] - dark) / photon, whole = floor(y);
    const float drawn = half_of(whole, a, b) + (scrambled(b) >> 31 ? y - whole : 0.0f);
    first[i] = dark + 2.0f * photon * drawn;
    second[i] = dark + 2.0f * photon * (y - drawn);
}

// (C1 - N)(C2 - N)/N: positive where two corrections agree on the direction of the step.
__kernel void agreement(__global const float *first, __global const float *second,
                        __global const float *normalization, const int normalization_stride,
                        const float threshold, __global float *out, const int n) {
    const int i = get_global_id(0);
    if (i >= n) return;
    const float weight = normalization[i * normalization_stride];
    out[i] = weight > threshold ? (first[i] - weight) * (second[i] - weight) / weight : 0.0f;
}

__kernel void update_where_agreed(__global float *first, __global const float *second,
                                  __global const float *estimate,
                                  __global const float *normalization,
                                  const int normalization_stride, const float threshold,
                                  __global const float *agreement, const int n) {
    const int i = get_global_id(0);
    if (i >= n) return;
    const float x = estimate[i], weight = normalization[i * normalization_stride];
    const float updated = fmax(x * (first[i] + second[i]) / (2.0f * weight), 0.0f);
    first[i] = weight > threshold ? (agreement[i] < 0.0f ? x : updated) : 0.0f;
}
