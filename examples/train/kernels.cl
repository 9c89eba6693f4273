/* All that neither CLBlast nor anynorm does. Each work-item adds up what it writes, in a fixed
 * order, so nothing depends on which of them runs first. A row is one character of one sequence. */

kernel void embed(global const int *characters, global const float *embedding,
                  global const float *positions, global float *x, int width, int context)
{
    int c = get_global_id(0), r = get_global_id(1);
    x[r * width + c] = embedding[characters[r] * width + c] + positions[r % context * width + c];
}

kernel void embed_gradient(global const int *characters, global const float *dx,
                           global float *dembedding, int width, int rows)
{
    int c = get_global_id(0), character = get_global_id(1);
    float sum = 0;
    for (int r = 0; r < rows; r++)
        sum += characters[r] == character ? dx[r * width + c] : 0.0f;
    dembedding[character * width + c] = sum;
}

kernel void positions_gradient(global const float *dx, global float *dpositions, int width,
                               int context, int rows)
{
    int c = get_global_id(0), t = get_global_id(1);
    float sum = 0;
    for (int r = t; r < rows; r += context)
        sum += dx[r * width + c];
    dpositions[t * width + c] = sum;
}

/* The residual stream where no norm takes it along. */
kernel void add(global const float *branch, global const float *bias, global const float *residual,
                global float *sum, int width)
{
    int c = get_global_id(0), i = get_global_id(1) * width + c;
    sum[i] = residual[i] + (branch[i] + bias[c]);
}

kernel void sum_columns(global const float *x, global float *sums, int columns, int rows)
{
    int c = get_global_id(0);
    float sum = 0;
    for (int r = 0; r < rows; r++)
        sum += x[r * columns + c];
    sums[c] = sum;
}

float normal_cdf(float x)
{
    return 0.5f * (1 + erf(x * 0.70710678f));
}

kernel void gelu(global const float *x, global const float *bias, global float *y, int columns)
{
    int c = get_global_id(0), i = get_global_id(1) * columns + c;
    float z = x[i] + bias[c];
    y[i] = z * normal_cdf(z);
}

kernel void gelu_gradient(global const float *x, global const float *bias, global float *dy,
                          int columns)
{
    int c = get_global_id(0), i = get_global_id(1) * columns + c;
    float z = x[i] + bias[c];
    dy[i] *= normal_cdf(z) + z * 0.39894228f * exp(-0.5f * z * z);
}

/* Of heads of `size` columns, of which a row of qkv has queries, keys and values one after the
 * other. A row's weights begin at (r * heads + head) * context; those of characters to come are
 * neither written nor read. */
kernel void attend(global const float *qkv, global float *weights, global float *y, int size,
                   int heads, int context)
{
    int r = get_global_id(0), head = get_global_id(1), t = r % context, width = heads * size;
    global const float *q = qkv + r * 3 * width + head * size;
    global const float *k = qkv + (r - t) * 3 * width + width + head * size;
    global const float *v = k + width;
    global float *p = weights + (r * heads + head) * context;
    float most = -INFINITY, sum = 0, scale = rsqrt((float)size);
    for (int j = 0; j <= t; j++) {
        float4 dot4 = 0;
        for (int c = 0; c < size; c += 4)
            dot4 += vload4(0, q + c) * vload4(0, k + j * 3 * width + c);
        p[j] = scale * (dot4.x + dot4.y + dot4.z + dot4.w);
        most = fmax(most, p[j]);
    }
    for (int j = 0; j <= t; j++) {
        p[j] = exp(p[j] - most);
        sum += p[j];
    }
    for (int j = 0; j <= t; j++)
        p[j] /= sum;
    for (int c = 0; c < size; c += 4) {
        float4 mix = 0;
        for (int j = 0; j <= t; j++)
            mix += p[j] * vload4(0, v + j * 3 * width + c);
        vstore4(mix, 0, y + r * width + head * size + c);
    }
}

/* Gradients of a row's scores, before the softmax, and of its query. */
kernel void attend_gradient_queries(global const float *qkv, global const float *weights,
                                    global const float *dy, global float *dscores,
                                    global float *dqkv, int size, int heads, int context)
{
    int r = get_global_id(0), head = get_global_id(1), t = r % context, width = heads * size;
    global const float *k = qkv + (r - t) * 3 * width + width + head * size;
    global const float *v = k + width;
    global const float *p = weights + (r * heads + head) * context;
    global const float *d = dy + r * width + head * size;
    global float *ds = dscores + (r * heads + head) * context;
    float sum = 0, scale = rsqrt((float)size);
    for (int j = 0; j <= t; j++) {
        float4 dot4 = 0;
        for (int c = 0; c < size; c += 4)
            dot4 += vload4(0, d + c) * vload4(0, v + j * 3 * width + c);
        ds[j] = dot4.x + dot4.y + dot4.z + dot4.w;
        sum += p[j] * ds[j];
    }
    for (int j = 0; j <= t; j++)
        ds[j] = scale * p[j] * (ds[j] - sum);
    for (int c = 0; c < size; c += 4) {
        float4 dq = 0;
        for (int j = 0; j <= t; j++)
            dq += ds[j] * vload4(0, k + j * 3 * width + c);
        vstore4(dq, 0, dqkv + r * 3 * width + head * size + c);
    }
}

/* Gradients of a row's key and value, to which all later rows of its sequence add. */
kernel void attend_gradient_keys(global const float *qkv, global const float *weights,
                                 global const float *dy, global const float *dscores,
                                 global float *dqkv, int size, int heads, int context)
{
    int r = get_global_id(0), head = get_global_id(1), t = r % context, width = heads * size;
    int begin = r - t, at = head * size;
    for (int c = at; c < at + size; c += 4) {
        float4 dk = 0, dv = 0;
        for (int i = t; i < context; i++) {
            int row = begin + i, weight = (row * heads + head) * context + t;
            dk += dscores[weight] * vload4(0, qkv + row * 3 * width + c);
            dv += weights[weight] * vload4(0, dy + row * width + c);
        }
        vstore4(dk, 0, dqkv + r * 3 * width + width + c);
        vstore4(dv, 0, dqkv + r * 3 * width + 2 * width + c);
    }
}

/* Each row's loss, and, in the logits' place, what the mean over all rows changes by with them. */
kernel void cross_entropy(global const int *targets, global float *logits, global float *losses,
                          int columns, int rows)
{
    int r = get_global_id(0);
    global float *x = logits + r * columns;
    float most = -INFINITY, sum = 0;
    for (int c = 0; c < columns; c++)
        most = fmax(most, x[c]);
    for (int c = 0; c < columns; c++)
        sum += exp(x[c] - most);
    losses[r] = log(sum) - (x[targets[r]] - most);
    for (int c = 0; c < columns; c++)
        x[c] = (exp(x[c] - most) / sum - (c == targets[r] ? 1.0f : 0.0f)) / rows;
}

/* Adam (Kingma, Ba: arXiv:1412.6980) with the bias corrections of the step. */
kernel void adam(global float *values, global const float *gradients, global float *first,
                 global float *second, float rate, float beta1, float beta2, float correction1,
                 float correction2)
{
    int i = get_global_id(0);
    float g = gradients[i];
    first[i] = beta1 * first[i] + (1 - beta1) * g;
    second[i] = beta2 * second[i] + (1 - beta2) * g * g;
    values[i] -= rate * (first[i] * correction1) / (sqrt(second[i] * correction2) + 1e-8f);
}
