// Along x, between an image (…, size_y, size_x) and the half spectrum of the grid at whose origin
// it lies: pairs (real, imaginary), x up to LENGTH / 2. Two rows are transformed as one, the first
// as its real, the second as its imaginary part.

#define HALF (LENGTH / 2 + 1)
#define CELL(i) (line * LENGTH + (i))
#define SPECTRUM_ROW(r) (((r) / size_y * grid_y + (r) % size_y) * HALF)

#define TWO_ROWS                                                  \
    __local float2 tile[LENGTH * LINES];                          \
    const int item = get_local_id(0), line = get_local_id(1);     \
    const int first = 2 * get_global_id(1), second = first + 1;

#define LOAD_PAIR(i)                                                             \
    (float2)(first < rows && (i) < size_x ? image[first * size_x + (i)] : 0.0f,  \
             second < rows && (i) < size_x ? image[second * size_x + (i)] : 0.0f)

__kernel __attribute__((reqd_work_group_size(ITEMS, LINES, 1)))
void forward_rows(__global const float *image, __global float2 *spectrum,
                  __global const float2 *turns, const int rows, const int size_y,
                  const int size_x, const int grid_y) {
    TWO_ROWS
    TRANSFORM(LOAD_PAIR, TO_TILE)
    for (int k = item; k < HALF; k += ITEMS) {
        const float2 a = 0.5f * FROM_TILE(k);
        const float2 b = 0.5f * conjugate(FROM_TILE(k ? LENGTH - k : 0));
        if (first < rows) spectrum[SPECTRUM_ROW(first) + k] = a + b;
        if (second < rows) spectrum[SPECTRUM_ROW(second) + k] = times_i(b - a);
    }
}

// The conjugate of A + iB: its transform is the conjugate of the inverse of A + iB.
float2 mirrored(__global const float2 *spectrum, const int a, const int b, const int i) {
    const int k = i < HALF ? i : LENGTH - i;
    const float sign = i < HALF ? 1.0f : -1.0f;
    const float2 p = spectrum[a + k], q = spectrum[b + k];
    return (float2)(p.x - sign * q.y, -sign * p.y - q.x);
}

#define LOAD_MIRRORED(i) mirrored(spectrum, a, b, i)
#define STORE_PAIR(i, value)                                     \
    if ((i) < size_x) {                                          \
        if (first < rows) image[first * size_x + (i)] = value.x; \
        if (second < rows) image[second * size_x + (i)] = -value.y; \
    }

__kernel __attribute__((reqd_work_group_size(ITEMS, LINES, 1)))
void inverse_rows(__global const float2 *spectrum, __global float *image,
                  __global const float2 *turns, const int rows, const int size_y,
                  const int size_x, const int grid_y) {
    TWO_ROWS
    const int a = SPECTRUM_ROW(min(first, rows - 1)), b = SPECTRUM_ROW(min(second, rows - 1));
    TRANSFORM(LOAD_MIRRORED, STORE_PAIR)
}
