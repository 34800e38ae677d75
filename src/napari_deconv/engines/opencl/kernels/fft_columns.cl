// Along y or z of a half spectrum, in place. Column q begins at sample q % width of block q / width,
// which has LENGTH · width samples. Of a column the first `given` samples are not 0, and the first
// `wanted` are stored. Inverse transforms are the conjugates of transforms of conjugates.

#define CELL(i) ((i) * LINES + line)
#define COLUMN                                                \
    __local float2 tile[LENGTH * LINES];                      \
    const int line = get_local_id(0), item = get_local_id(1); \
    const int column = get_global_id(0);                      \
    const bool inside = column < columns;                     \
    const int start = column / width * (LENGTH * width) + column % width;
#define AT(i) (start + (i) * width)

#define LOAD(i) (inside && (i) < given ? spectrum[AT(i)] : (float2)(0.0f))
#define STORE(i, value) if (inside && (i) < wanted) spectrum[AT(i)] = value
#define LOAD_CONJUGATE(i) conjugate(LOAD(i))
#define STORE_CONJUGATE(i, value) STORE(i, conjugate(value))

__kernel __attribute__((reqd_work_group_size(LINES, ITEMS, 1)))
void forward_columns(__global float2 *spectrum, __global const float2 *turns, const int columns,
                     const int width, const int given, const int wanted) {
    COLUMN
    TRANSFORM(LOAD, STORE)
}

__kernel __attribute__((reqd_work_group_size(LINES, ITEMS, 1)))
void inverse_columns(__global float2 *spectrum, __global const float2 *turns, const int columns,
                     const int width, const int given, const int wanted) {
    COLUMN
    TRANSFORM(LOAD_CONJUGATE, STORE_CONJUGATE)
}

// Forward, times scale · OTF (its conjugate where sign is -1), and inverse.
#define FILTER(i, value)                                                            \
    {                                                                               \
        const float2 h = inside ? otf[AT(i)] : (float2)(0.0f);                      \
        tile[CELL(i)] = conjugate(times(value, scale * (float2)(h.x, sign * h.y))); \
    }

__kernel __attribute__((reqd_work_group_size(LINES, ITEMS, 1)))
void filter_columns(__global float2 *spectrum, __global const float2 *turns, const int columns,
                    const int width, const int given, const int wanted,
                    __global const float2 *otf, const float scale, const float sign) {
    COLUMN
    TRANSFORM(LOAD, FILTER)
    TRANSFORM(FROM_TILE, STORE_CONJUGATE)
}

// -- depth strata: along z, weights are (strata, LENGTH) ------------------------------------------
// The first stratum overwrites a sum, the others add to it.
#define WEIGHT(i) weights[stratum * LENGTH + (i)]
#define SUM(i) (stratum ? sum[AT(i)] : (float2)(0.0f))

// sum ← sum + scale · OTF · F(weights · spectrum)
#define LOAD_WEIGHED(i) (inside && (i) < given ? WEIGHT(i) * spectrum[AT(i)] : (float2)(0.0f))
#define ADD_PRODUCT(i, value) if (inside) sum[AT(i)] = SUM(i) + scale * times(otf[AT(i)], value)

__kernel __attribute__((reqd_work_group_size(LINES, ITEMS, 1)))
void add_filtered_stratum(__global const float2 *spectrum, __global const float2 *turns,
                          const int columns, const int width, const int given, const int wanted,
                          __global const float2 *otf, const float scale,
                          __global const float *weights, const int stratum, __global float2 *sum) {
    COLUMN
    TRANSFORM(LOAD_WEIGHED, ADD_PRODUCT)
}

// sum ← sum + scale · weights · F⁻¹(OTF* · spectrum)
#define LOAD_PRODUCT(i) (inside ? times(conjugate(spectrum[AT(i)]), otf[AT(i)]) : (float2)(0.0f))
#define ADD_WEIGHED(i, value) \
    if (inside && (i) < wanted) sum[AT(i)] = SUM(i) + scale * WEIGHT(i) * conjugate(value)

__kernel __attribute__((reqd_work_group_size(LINES, ITEMS, 1)))
void add_weighed_stratum(__global const float2 *spectrum, __global const float2 *turns,
                         const int columns, const int width, const int given, const int wanted,
                         __global const float2 *otf, const float scale,
                         __global const float *weights, const int stratum, __global float2 *sum) {
    COLUMN
    TRANSFORM(LOAD_PRODUCT, ADD_WEIGHED)
}
