/* All of the network that is neither a product of matrices nor a norm. One work-item makes one
 * element, or one row where it says so. Weights are one buffer, the file's; the numbers that end in
 * _at are where a tensor begins in it, in elements. A token is a row of `hidden` columns, and
 * sentences are padded to `length` tokens. */

/* Word and position; that of the token's type, the same for all, comes with the norm. */
kernel void embed(global const float *weights, global const int *tokens, global float *x,
                  ulong word_at, ulong position_at, ulong length, ulong hidden)
{
    size_t i = get_global_id(0), row = i / hidden, column = i % hidden;

    x[i] = weights[word_at + (ulong)tokens[row] * hidden + column] +
           weights[position_at + row % length * hidden + column];
}

/* To queries, keys and values, which lie side by side in each token's row. */
kernel void add_biases(global const float *weights, global float *qkv, ulong query_at, ulong key_at,
                       ulong value_at, ulong hidden)
{
    size_t i = get_global_id(0), column = i % hidden, part = i / hidden % 3;

    qkv[i] += weights[(part == 0 ? query_at : part == 1 ? key_at : value_at) + column];
}

/* Of one row of scores: a query's, of one head, with all keys of its sentence. Keys that are padding
 * have no share. */
kernel void softmax(global float *scores, global const int *counts, ulong heads, ulong length)
{
    size_t row = get_global_id(0);
    int count = counts[row / (heads * length)];
    float most = -INFINITY, sum = 0;

    scores += row * length;
    for (int key = 0; key < count; key++)
        most = fmax(most, scores[key]);
    for (int key = 0; key < count; key++)
        sum += scores[key] = exp(scores[key] - most);
    for (int key = 0; key < (int)length; key++)
        scores[key] = key < count ? scores[key] / sum : 0;
}

/* x + bias times the share of a normal distribution that lies below it. */
kernel void gelu(global const float *weights, global float *x, ulong bias_at, ulong columns)
{
    size_t i = get_global_id(0);
    float z = x[i] + weights[bias_at + i % columns];

    x[i] = 0.5f * z * (1 + erf(z * M_SQRT1_2_F));
}

/* x + bias + residual, for a norm that does not add them itself. */
kernel void add(global const float *weights, global const float *x, global const float *residual,
                global float *sum, ulong bias_at, ulong hidden)
{
    size_t i = get_global_id(0);

    sum[i] = x[i] + weights[bias_at + i % hidden] + residual[i];
}

/* The mean of a sentence's tokens without its padding. */
kernel void pool(global const float *x, global const int *counts, global float *pooled,
                 ulong length, ulong hidden)
{
    size_t i = get_global_id(0), sentence = i / hidden;
    int count = counts[sentence];
    float sum = 0;

    x += sentence * length * hidden + i % hidden;
    for (int token = 0; token < count; token++)
        sum += x[token * hidden];
    pooled[i] = sum / count;
}
