// Penalties R with forward differences, periodic.

int voxel(int z, int y, int x, const int nz, const int ny, const int nx) {
    z = z < 0 ? nz - 1 : (z >= nz ? 0 : z);
    y = y < 0 ? ny - 1 : (y >= ny ? 0 : y);
    x = x < 0 ? nx - 1 : (x >= nx ? 0 : x);
    return (z * ny + y) * nx + x;
}

// ∇x/√(|∇x|² + (flatness x)² + ε²), (z, y, x, 0), at a voxel.
float4 direction(__global const float *image, const int z, const int y, const int x,
                 const int nz, const int ny, const int nx,
                 const float dz, const float dy, const float dx,
                 const float flatness, const float epsilon) {
    const int zz = z < 0 ? nz - 1 : z, yy = y < 0 ? ny - 1 : y, xx = x < 0 ? nx - 1 : x;
    const float here = image[voxel(zz, yy, xx, nz, ny, nx)];
    const float4 g = (float4)((image[voxel(zz + 1, yy, xx, nz, ny, nx)] - here) / dz,
                              (image[voxel(zz, yy + 1, xx, nz, ny, nx)] - here) / dy,
                              (image[voxel(zz, yy, xx + 1, nz, ny, nx)] - here) / dx, 0.0f);
    return g / sqrt(dot(g, g) + flatness * here * flatness * here + epsilon * epsilon);
}

// N max(1 - λ div(∇x/√(|∇x|² + (flatness x)² + ε²)), 0.1)
__kernel void total_variation(
    __global const float *x, __global const float *normalization, const int normalization_stride,
    __global float *out, const float dz, const float dy, const float dx, const float weight,
    const float threshold, const int nz, const int ny, const int nx,
    const float flatness, const float epsilon) {
    const int i = get_global_id(0);
    if (i >= nz * ny * nx) return;
    const int ix = i % nx, iy = (i / nx) % ny, iz = i / (nx * ny);
    const float4 here = direction(x, iz, iy, ix, nz, ny, nx, dz, dy, dx, flatness, epsilon);
    const float4 before_z =
        direction(x, iz - 1, iy, ix, nz, ny, nx, dz, dy, dx, flatness, epsilon);
    const float4 before_y =
        direction(x, iz, iy - 1, ix, nz, ny, nx, dz, dy, dx, flatness, epsilon);
    const float4 before_x =
        direction(x, iz, iy, ix - 1, nz, ny, nx, dz, dy, dx, flatness, epsilon);
    const float divergence = (here.s0 - before_z.s0) / dz + (here.s1 - before_y.s1) / dy +
                             (here.s2 - before_x.s2) / dx;
    const float n = normalization[i * normalization_stride];
    out[i] = n > threshold ? n * fmax(1.0f - weight * divergence, 0.1f) : 0.0f;
}

// What the differences to both neighbours along one axis add to (∂R, κ) of R = Σ |∇x|².
float2 tikhonov_along(const float before, const float here, const float after, const float d) {
    return (float2)(-2.0f * ((after - here) - (here - before)), 8.0f * here) / (d * d);
}

// The same for R = Σ |∇x|²/(x + ε), x half-way along each difference.
float2 roughness_along(const float before, const float here, const float after, const float d,
                       const float epsilon) {
    const float to = 0.5f * (after + here) + epsilon, from = 0.5f * (here + before) + epsilon;
    const float q = (after - here) / d / to, r = (here - before) / d / from;
    return (float2)(-2.0f * (q - r) / d - 0.5f * (q * q + r * r),
                    4.0f * here * (1.0f / to + 1.0f / from) / (d * d));
}

// C ← C + κ - λ·∂R, N′ ← N + κ
void penalize(__global float *correction, __global float *divisor, const int i, const float n,
              const float weight, const float threshold, const float2 penalty) {
    correction[i] += weight * (penalty.s1 - penalty.s0);
    divisor[i] = n > threshold ? n + weight * penalty.s1 : 0.0f;
}

__kernel void tikhonov(
    __global const float *x, __global float *correction, __global const float *normalization,
    const int normalization_stride, __global float *out, const float dz, const float dy,
    const float dx, const float weight, const float threshold, const int nz, const int ny,
    const int nx) {
    const int i = get_global_id(0);
    if (i >= nz * ny * nx) return;
    const int ix = i % nx, iy = (i / nx) % ny, iz = i / (nx * ny);
    const float2 penalty =
        tikhonov_along(x[voxel(iz - 1, iy, ix, nz, ny, nx)], x[i],
                       x[voxel(iz + 1, iy, ix, nz, ny, nx)], dz) +
        tikhonov_along(x[voxel(iz, iy - 1, ix, nz, ny, nx)], x[i],
                       x[voxel(iz, iy + 1, ix, nz, ny, nx)], dy) +
        tikhonov_along(x[voxel(iz, iy, ix - 1, nz, ny, nx)], x[i],
                       x[voxel(iz, iy, ix + 1, nz, ny, nx)], dx);
    const float n = normalization[i * normalization_stride];
    penalize(correction, out, i, n, weight, threshold, penalty);
}

__kernel void roughness(
    __global const float *x, __global float *correction, __global const float *normalization,
    const int normalization_stride, __global float *out, const float dz, const float dy,
    const float dx, const float weight, const float threshold, const int nz, const int ny,
    const int nx, const float epsilon) {
    const int i = get_global_id(0);
    if (i >= nz * ny * nx) return;
    const int ix = i % nx, iy = (i / nx) % ny, iz = i / (nx * ny);
    const float2 penalty =
        roughness_along(x[voxel(iz - 1, iy, ix, nz, ny, nx)], x[i],
                        x[voxel(iz + 1, iy, ix, nz, ny, nx)], dz, epsilon) +
        roughness_along(x[voxel(iz, iy - 1, ix, nz, ny, nx)], x[i],
                        x[voxel(iz, iy + 1, ix, nz, ny, nx)], dy, epsilon) +
        roughness_along(x[voxel(iz, iy, ix - 1, nz, ny, nx)], x[i],
                        x[voxel(iz, iy, ix + 1, nz, ny, nx)], dx, epsilon);
    const float n = normalization[i * normalization_stride];
    penalize(correction, out, i, n, weight, threshold, penalty);
}
