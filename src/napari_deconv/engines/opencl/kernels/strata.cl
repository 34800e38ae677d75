// Depth strata: planes weighed by a_i(z) before or after a transform; weights are (strata, nz). The
// first stratum overwrites a sum, the others add to it.

__kernel void weigh(__global const float *image, __global const float *weights, const int stratum,
                    __global float *out, const int nz, const int ny, const int nx) {
    const int i = get_global_id(0);
    if (i < nz * ny * nx) out[i] = weights[stratum * nz + i / (ny * nx)] * image[i];
}

__kernel void add_weighed(__global const float *image, __global const float *weights,
                          const int stratum, __global float *out, const int nz, const int ny,
                          const int nx) {
    const int i = get_global_id(0);
    if (i >= nz * ny * nx) return;
    const float before = stratum == 0 ? 0.0f : out[i];
    out[i] = before + weights[stratum * nz + i / (ny * nx)] * image[i];
}
