// From grid to grid.

__kernel void crop(__global const float *image, const int mz, const int my, const int mx,
                   const int first_z, const int first_y, const int first_x, __global float *out,
                   const int nz, const int ny, const int nx) {
    const int i = get_global_id(0);
    if (i >= nz * ny * nx) return;
    const int x = i % nx, y = (i / nx) % ny, z = i / (nx * ny);
    out[i] = image[((first_z + z) * my + first_y + y) * mx + first_x + x];
}

float between(const float below, const float above, const float part) {
    return below + part * (above - below);
}

// Linear, each axis with its own table: places (below, above) and the part of `above`.
__kernel void interpolate(__global const float *image, const int mz, const int my, const int mx,
                          __global const int *places_z, __global const float *part_z,
                          __global const int *places_y, __global const float *part_y,
                          __global const int *places_x, __global const float *part_x,
                          __global float *out, const int nz, const int ny, const int nx) {
    const int i = get_global_id(0);
    if (i >= nz * ny * nx) return;
    const int x = i % nx, y = (i / nx) % ny, z = i / (nx * ny);
    float planes[2];
    for (int a = 0; a < 2; ++a) {
        float rows[2];
        for (int b = 0; b < 2; ++b) {
            const int row = (places_z[a * nz + z] * my + places_y[b * ny + y]) * mx;
            rows[b] = between(image[row + places_x[x]], image[row + places_x[nx + x]], part_x[x]);
        }
        planes[a] = between(rows[0], rows[1], part_y[y]);
    }
    out[i] = between(planes[0], planes[1], part_z[z]);
}
