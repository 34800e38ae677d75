// Between an image (mz, my, mx) and the grid (nz, ny, nx) at whose origin it lies.

__kernel void embed(__global const float *image, const int mz, const int my, const int mx,
                    __global float *out, const int nz, const int ny, const int nx) {
    const int i = get_global_id(0);
    if (i >= nz * ny * nx) return;
    const int x = i % nx, y = (i / nx) % ny, z = i / (nx * ny);
    out[i] = x < mx && y < my && z < mz ? image[(z * my + y) * mx + x] : 0.0f;
}

__kernel void crop(__global const float *image, const int nz, const int ny, const int nx,
                   __global float *out, const int mz, const int my, const int mx) {
    const int j = get_global_id(0);
    if (j >= mz * my * mx) return;
    const int x = j % mx, y = (j / mx) % my, z = j / (mx * my);
    out[j] = image[(z * ny + y) * nx + x];
}
