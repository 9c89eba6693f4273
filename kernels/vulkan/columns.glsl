/* Columns of a tensor of rows, which lie side by side or, where column_run is not 0, in runs of so
 * many side by side, a stride apart. Part of elements.glsl, whose row_t knows the columns that
 * were skipped; parameters have no runs. Those of gate, scale and shift lie side by side, whatever
 * the others' do, or have a stride. `base` is the row of a tensor. */

/* Vectors begin at multiples of VECTOR, so that none lies in two such runs. */
const bool WHOLE_VECTORS = column_run % VECTOR == 0; /* or there are no runs */

/* The element of a column. */
uint find_column(const row_t r, const uint base, const uint stride, const uint column)
{
    if (column_run == 0)
        return base + column;
    const uint number = r.skipped + column, run = number / column_run;
    return base + run * stride + (number - run * column_run);
}

/* How many columns lie side by side from one on, but no less than VECTOR of WHOLE_VECTORS. */
uint count_side_by_side(const row_t r, const uint column)
{
    return WHOLE_VECTORS ? VECTOR : column_run - (r.skipped + column) % column_run;
}

/* From a column's element to that of the next one. */
uint next_column(const uint stride, const uint at, inout uint side_by_side)
{
    if (WHOLE_VECTORS || --side_by_side > 0)
        return at + 1;
    side_by_side = column_run;
    return at + 1 + (stride - column_run);
}

accv_t gather_columns(const uint type, const uint slot, const uint start, const uint stride,
                      const uint side_by_side, const uint count, const acc_t fill)
{
    uint at = start, left = side_by_side;
    accv_t result = accv_t(fill);
    for (uint i = 0; i < ELEMENTS_OF(count); i++) {
        result[i] = load(type, slot, at);
        at = next_column(stride, at, left);
    }
    return result;
}

void scatter_columns(const uint type, const uint slot, const uint start, const uint stride,
                     const uint side_by_side, const uint count, const accv_t value)
{
    uint at = start, left = side_by_side;
    for (uint i = 0; i < ELEMENTS_OF(count); i++) {
        store(type, slot, at, value[i]);
        at = next_column(stride, at, left);
    }
}

/* load_rowv and load_line of gate, scale and shift. */
accv_t load_samplesv(const uint type, const uint slot, const row_t r, const uint base,
                     const uint stride, const uint column, const uint count)
{
    if (stride == 0)
        return load_rowv(type, slot, base + column, count, 0);
    accv_t result = accv_t(0);
    for (uint i = 0; i < ELEMENTS_OF(count); i++) {
        const uint number = r.skipped + column + i, run = number / max(column_run, 1);
        result[i] = load(type, slot, base + run * stride + (number - run * max(column_run, 1)));
    }
    return result;
}

accv_t load_sample_line(const uint part, const uint type, const uint slot, const row_t r,
                        const uint base, const uint stride, const uint column)
{
    if (stride == 0)
        return load_line(part, type, slot, base + column);
    return load_samplesv(type, slot, r, base, stride, column, VECTOR);
}

/* load_rowv, load_line, store_rowv and store_line of such a tensor. */
accv_t load_columnsv(const uint type, const uint slot, const row_t r, const uint base,
                     const uint stride, const uint column, const uint count, const acc_t fill)
{
    const uint at = find_column(r, base, stride, column), left = count_side_by_side(r, column);
    if (IS_WHOLE(count) && left >= VECTOR)
        return load_wholev(type, slot, at, count);
    return gather_columns(type, slot, at, stride, left, count, fill);
}

accv_t load_column_line(const uint part, const uint type, const uint slot, const row_t r,
                        const uint base, const uint stride, const uint column)
{
    const uint at = find_column(r, base, stride, column), left = count_side_by_side(r, column);
    if (left >= VECTOR)
        return load_line(part, type, slot, at);
    return gather_columns(type, slot, at, stride, left, VECTOR, 0);
}

void store_columnsv(const uint type, const uint slot, const row_t r, const uint base,
                    const uint stride, const uint column, const uint count, const accv_t value)
{
    const uint at = find_column(r, base, stride, column), left = count_side_by_side(r, column);
    if (IS_WHOLE(count) && left >= VECTOR)
        store_wholev(type, slot, at, count, value);
    else
        scatter_columns(type, slot, at, stride, left, count, value);
}

void store_column_line(const uint part, const uint type, const uint slot, const row_t r,
                       const uint base, const uint stride, const uint column, const accv_t value)
{
    const uint at = find_column(r, base, stride, column), left = count_side_by_side(r, column);
    if (left >= VECTOR)
        store_line(part, type, slot, at, value);
    else
        scatter_columns(type, slot, at, stride, left, VECTOR, value);
}
