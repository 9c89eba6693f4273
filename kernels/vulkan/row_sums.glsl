/* Sums over rows: kept by columns while a part's rows are walked, then added up over the parts. See
 * host/spec/gradient.h for which rows are a part's, and for the workspace. Part of backward.comp. */

#if ACC_DOUBLE
#define SUM_TYPE F64
#else
#define SUM_TYPE F32
#endif

/* Where a part's sums are, in elements of the workspace; the work-item's own vectors are its alone. */
struct part_t {
    uint at;           /* of the first tensor */
    uint tensor_pitch; /* from a tensor's to the next one's */
    uint lost;         /* from a sum to what it has lost; 0: nobody keeps that */
};

/* `whole`, a constant, is VECTOR or ALIGNED_VECTOR. */
accv_t load_sums(const uint at, const uint whole)
{
    return load_wholev(SUM_TYPE, SLOT_WORKSPACE, at, whole);
}

void store_sums(const uint at, const uint whole, const accv_t sums)
{
    store_wholev(SUM_TYPE, SLOT_WORKSPACE, at, whole, sums);
}

/* As add_compensated, but an infinity stays one. */
void add_row_sum(inout accv_t total, inout accv_t lost, const accv_t term)
{
    add_compensated(total, lost, term);
    const uvec4 magnitude = upper_bits(total) & 0x7fffffff;
    lost = mix(accv_t(0), lost, lessThan(magnitude, uvec4(INFINITE_BITS)));
}

/* Adds to a vector of each of the sums what is in `terms`; or, where there are none yet, puts it there:
 * to those of parameters where the part begins, to those of samples where a sample does. */
void add_to_part(const part_t part, const uint column, const bool begins, const bool sample_begins,
                 const uint whole)
{
    [[unroll]] for (uint k = 0; k < SUMS; k++) {
        const uint at = part.at + k * part.tensor_pitch + column;
        const bool first = k < PARAMETER_SUMS ? begins : sample_begins;
        accv_t total = terms[k], lost = accv_t(0);
        if (!first) {
            total = load_sums(at, whole);
            if (part.lost > 0) {
                lost = load_sums(at + part.lost, whole);
                add_row_sum(total, lost, terms[k]);
            } else {
                total += terms[k];
            }
        }
        store_sums(at, whole, total);
        if (part.lost > 0)
            store_sums(at + part.lost, whole, lost);
    }
}

/* A sum of the part as it stands. */
accv_t sum_of_part(const part_t part, const uint tensor, const uint column)
{
    const uint at = part.at + tensor * part.tensor_pitch + column;
    accv_t sums = load_sums(at, VECTOR);
    if (part.lost > 0)
        sums -= load_sums(at + part.lost, VECTOR);
    return sums;
}

/* Writes a sum, added to what is there with ACCUMULATE. One by one: vectors would be much code for a
 * small part of the work. */
void store_sum(const uint type, const uint slot, const uint at, const acc_t sum)
{
    store(type, slot, at, ACCUMULATE != 0 ? sum + load(type, slot, at) : sum);
}

void store_parameters(const uint slot, const uint at, const uint count, const accv_t sums)
{
    for (uint i = 0; i < count; i++)
        store_sum(DP_TYPE, slot, at + i, sums[i]);
}

/* Writes `count` sums from parameter `at` on, of all rows of parameters. */
void store_parameter_sums(const uint tensor, const uint at, const uint count, const accv_t sums)
{
    if (HAS_DWEIGHT != 0 && tensor == AT_DWEIGHT)
        store_parameters(SLOT_DWEIGHT, at, count, sums);
    if (HAS_DBIAS != 0 && tensor == AT_DBIAS)
        store_parameters(SLOT_DBIAS, at, count, sums);
    if (HAS_DPRE_BIAS != 0 && tensor == AT_DPRE_BIAS)
        store_parameters(SLOT_DPRE_BIAS, at, count, sums);
}

/* Writes those of columns from `column` on, which lie side by side or, where `stride` is not 0, in runs so
 * far apart. */
void store_samples(const uint slot, const uint base, const uint stride, const uint column,
                   const uint count, const accv_t sums)
{
    const uint run_length = max(column_run, 1);
    for (uint i = 0; i < count; i++) {
        const uint number = column + i, run = number / run_length;
        const uint at = stride == 0 ? number : run * stride + (number - run * run_length);
        store_sum(DS_TYPE, slot, base + at, sums[i]);
    }
}

/* Writes `count` sums of a sample from `column` on. */
void store_sample_sums(const uint tensor, const uint sample_number, const uint column,
                       const uint count, const accv_t sums)
{
    if (HAS_DGATE != 0 && tensor == AT_DGATE)
        store_samples(SLOT_DGATE, sample_number * gate_row_stride, gate_column_stride, column,
                      count, sums);
    if (HAS_DSCALE != 0 && tensor == AT_DSCALE)
        store_samples(SLOT_DSCALE, sample_number * scale_row_stride, scale_column_stride, column,
                      count, sums);
    if (HAS_DSHIFT != 0 && tensor == AT_DSHIFT)
        store_samples(SLOT_DSHIFT, sample_number * shift_row_stride, shift_column_stride, column,
                      count, sums);
}

/* ---- The second launch ---- */

/* Which of the workspace's rows belong together: `count` of them from `first` on, in runs of
 * `side_by_side`, `stride` from a run to the next. */
struct group_of_parts_t {
    uint first;
    uint count;
    uint side_by_side;
    uint stride;
};

uint part_at(const group_of_parts_t g, const uint i)
{
    return g.first + i / g.side_by_side * g.stride + i % g.side_by_side;
}

/* SLICES work-items share the parts of a column: sums of some take turns where there are many. */
const uint COLUMNS_OF_GROUP = GROUP / SLICES * VECTOR;
shared accv_t slices[SUMS > 0 && SLICES > 1 ? GROUP : 1];

/* The sum of every SLICES-th part from `slice` on, of the columns of one vector; `tensor` is where the
 * first part's begins. */
accv_t add_parts(const uint tensor, const uint pitch, const group_of_parts_t g, const uint slice,
                 const uint column)
{
    accv_t total = accv_t(0), lost = total;
    for (uint i = slice; i < g.count; i += SLICES)
        add_row_sum(total, lost, load_sums(tensor + part_at(g, i) * pitch + column, VECTOR));
    return total - lost;
}

/* Adds up `width` columns of a row of the workspace. */
void add_run(const uint at, const uint width, inout accv_t total, inout accv_t lost)
{
    uint i = 0;
    for (; i + VECTOR <= width; i += VECTOR)
        add_row_sum(total, lost, load_sums(at + i, VECTOR));
    for (; i < width; i++)
        add_row_sum(total, lost, keep(accv_t(load(SUM_TYPE, SLOT_WORKSPACE, at + i)), 1));
}

/* The same of the columns that share a parameter, for a vector of these. */
accv_t add_shared(const uint tensor, const uint pitch, const group_of_parts_t g, const uint slice,
                  const uint at, const uint count)
{
    const uint cycle = parameter_cycle > 0 ? parameter_cycle : columns;
    accv_t result = accv_t(0);
    for (uint k = 0; k < count; k++) {
        accv_t total = accv_t(0), lost = total;
        for (uint i = slice; i < g.count; i += SLICES) {
            const uint row = tensor + part_at(g, i) * pitch;
            for (uint again = 0; again < columns; again += cycle)
                add_run(row + again + (at + k) * parameter_run, parameter_run, total, lost);
        }
        result[k] = sum_lanes(total - lost);
    }
    return result;
}
