// Undecimated Haar wavelets on a periodic grid: a block at voxel i is its 8 corners i + e s, where
// e runs over (0|1, 0|1, 0|1) and is numbered 4 ez + 2 ey + ex. Along an axis with step 0 the
// corners coincide, and its differences vanish.

void corners(int *places, const int z, const int y, const int x, const int sz, const int sy,
             const int sx, const int nz, const int ny, const int nx) {
    for (int e = 0; e < 8; ++e) {
        const int zz = e & 4 ? (z + sz) % nz : z;
        const int yy = e & 2 ? (y + sy) % ny : y;
        const int xx = e & 1 ? (x + sx) % nx : x;
        places[e] = (zz * ny + yy) * nx + xx;
    }
}

__kernel void haar_average(__global const float *image, __global float *out, const int sz,
                           const int sy, const int sx, const int nz, const int ny, const int nx) {
    const int i = get_global_id(0);
    if (i >= nz * ny * nx) return;
    int places[8];
    corners(places, i / (nx * ny), (i / nx) % ny, i % nx, sz, sy, sx, nz, ny, nx);
    float total = 0.0f;
    for (int e = 0; e < 8; ++e) total += image[places[e]];
    out[i] = total / 8.0f;
}

// What thresholding the differences of a block, and changing its average, changes at corner e.
float change_of(float *block, const float average, const float bound, const int e) {
    for (int axis = 1; axis < 8; axis *= 2)
        for (int k = 0; k < 8; ++k)
            if (!(k & axis)) {
                const float first = block[k], second = block[k | axis];
                block[k] = first + second;
                block[k | axis] = first - second;
            }
    float change = 8.0f * average;
    for (int band = 1; band < 8; ++band) {
        const float removed = clamp(block[band], -bound, bound);
        change += popcount(band & e) & 1 ? removed : -removed;
    }
    return change;
}

__kernel void haar_change(__global const float *image, __global const float *coarse,
                          const int coarse_stride, const float threshold, __global float *out,
                          const int sz, const int sy, const int sx, const int nz, const int ny,
                          const int nx) {
    const int i = get_global_id(0);
    if (i >= nz * ny * nx) return;
    const int x = i % nx, y = (i / nx) % ny, z = i / (nx * ny);
    float total = 0.0f;
    for (int e = 0; e < 8; ++e) {
        const int bz = e & 4 ? (z + nz - sz) % nz : z;
        const int by = e & 2 ? (y + ny - sy) % ny : y;
        const int bx = e & 1 ? (x + nx - sx) % nx : x;
        int places[8];
        float block[8];
        corners(places, bz, by, bx, sz, sy, sx, nz, ny, nx);
        for (int k = 0; k < 8; ++k) block[k] = image[places[k]];
        total += change_of(block, coarse[places[0] * coarse_stride], 8.0f * threshold, e);
    }
    out[i] = total / 64.0f;
}
