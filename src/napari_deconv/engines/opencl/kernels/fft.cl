// Transforms of lines of LENGTH samples, held in local memory: LINES of them by a work group, each
// by ITEMS work items.
//
// Stockham's self-sorting steps (Govindaraju et al., Supercomputing 2008). LENGTH, LINES, ITEMS and
// TRANSFORM(LOAD, STORE), the steps for this length, are defined in front of this text.

// An indexed array stays in registers only where loops over it are unrolled.
#define UNROLLED _Pragma("unroll")

float2 times(const float2 a, const float2 b) {
    return (float2)(a.x * b.x - a.y * b.y, a.x * b.y + a.y * b.x);
}

float2 conjugate(const float2 a) { return (float2)(a.x, -a.y); }

float2 times_i(const float2 a) { return (float2)(-a.y, a.x); }

// -- transforms of a few samples ------------------------------------------------------------------
void dft1(float2 *v) {}

void dft2(float2 *v) {
    const float2 a = v[0];
    v[0] = a + v[1];
    v[1] = a - v[1];
}

void dft3(float2 *v) {
    const float2 sum = v[1] + v[2], turn = 0.866025403784438647f * times_i(v[2] - v[1]);
    const float2 middle = v[0] - 0.5f * sum;
    v[0] += sum;
    v[1] = middle + turn;
    v[2] = middle - turn;
}

void dft4(float2 *v) {
    const float2 a = v[0] + v[2], b = v[0] - v[2], c = v[1] + v[3], d = times_i(v[3] - v[1]);
    v[0] = a + c;
    v[1] = b + d;
    v[2] = a - c;
    v[3] = b - d;
}

void dft5(float2 *v) {
    const float c1 = 0.309016994374947424f, c2 = -0.809016994374947424f;
    const float s1 = 0.951056516295153572f, s2 = 0.587785252292473129f;
    const float2 p = v[1] + v[4], q = v[2] + v[3];
    const float2 r = times_i(v[4] - v[1]), s = times_i(v[3] - v[2]);
    const float2 a = v[0] + c1 * p + c2 * q, b = v[0] + c2 * p + c1 * q;
    const float2 c = s1 * r + s2 * s, d = s2 * r - s1 * s;
    v[0] += p + q;
    v[1] = a + c;
    v[2] = b + d;
    v[3] = b - d;
    v[4] = a - c;
}

void dft7(float2 *v) {
    const float c1 = 0.623489801858733531f, c2 = -0.222520933956314404f, c3 = -0.900968867902419126f;
    const float s1 = 0.781831482468029809f, s2 = 0.974927912181823607f, s3 = 0.433883739117558120f;
    const float2 p = v[1] + v[6], q = v[2] + v[5], r = v[3] + v[4];
    const float2 x = times_i(v[6] - v[1]), y = times_i(v[5] - v[2]), z = times_i(v[4] - v[3]);
    const float2 a = v[0] + c1 * p + c2 * q + c3 * r, d = s1 * x + s2 * y + s3 * z;
    const float2 b = v[0] + c2 * p + c3 * q + c1 * r, e = s2 * x - s3 * y - s1 * z;
    const float2 c = v[0] + c3 * p + c1 * q + c2 * r, f = s3 * x - s1 * y + s2 * z;
    v[0] += p + q + r;
    v[1] = a + d;
    v[2] = b + e;
    v[3] = c + f;
    v[4] = c - f;
    v[5] = b - e;
    v[6] = a - d;
}

void dft8(float2 *v) {
    const float h = 0.707106781186547524f;
    float2 even[4] = {v[0], v[2], v[4], v[6]}, odd[4] = {v[1], v[3], v[5], v[7]};
    dft4(even);
    dft4(odd);
    odd[1] = times(odd[1], (float2)(h, -h));
    odd[2] = -times_i(odd[2]);
    odd[3] = times(odd[3], (float2)(-h, -h));
    UNROLLED for (int t = 0; t < 4; t++) {
        v[t] = even[t] + odd[t];
        v[t + 4] = even[t] - odd[t];
    }
}

// -- steps ----------------------------------------------------------------------------------------
// One step: LENGTH / R transforms of R samples, where the steps before have combined S. A line is
// transformed in place: all its samples are loaded before the first is stored.
#define ROUNDS(R) ((LENGTH / R + ITEMS - 1) / ITEMS)
#define STEP(R, S, LOAD, STORE)                                                            \
    {                                                                                      \
        float2 v[ROUNDS(R)][R];                                                            \
        UNROLLED for (int round = 0; round < ROUNDS(R); round++) {                         \
            const int j = item + round * ITEMS;                                            \
            if (j >= LENGTH / R) continue;                                                 \
            UNROLLED for (int t = 0; t < R; t++) v[round][t] = LOAD(j + t * (LENGTH / R)); \
            if (S > 1) {                                                                   \
                UNROLLED for (int t = 1; t < R; t++) v[round][t] =                         \
                    times(v[round][t], turns[t * (j % S) * (LENGTH / (R * S))]);           \
            }                                                                              \
            dft##R(v[round]);                                                              \
        }                                                                                  \
        barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE);                               \
        UNROLLED for (int round = 0; round < ROUNDS(R); round++) {                         \
            const int j = item + round * ITEMS;                                            \
            if (j >= LENGTH / R) continue;                                                 \
            UNROLLED for (int t = 0; t < R; t++) {                                         \
                STORE(j / S * (R * S) + j % S + t * S, v[round][t]);                       \
            }                                                                              \
        }                                                                                  \
        barrier(CLK_LOCAL_MEM_FENCE);                                                      \
    }

// CELL, where sample i of this work item's line lies in the tile, follows.
#define FROM_TILE(i) tile[CELL(i)]
#define TO_TILE(i, value) tile[CELL(i)] = value
