#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "inexact_kinds.h"
#include "opencl/library.h"
#include "support.h"

/* The line of kernels/opencl/arithmetic.clh, without which nothing would be inexact. */
static const char plain[] = "#define QUOTIENT(a, b) ((a) / (b))\n";

/* What takes its place. A correctly rounded quotient is off by half a unit at most, so that one
 * moved by 2 units is by 2.5, and no number further away is. From below a power of two, beyond
 * which units are twice as large, it moves to that; down from one, below which they are half as
 * large, by 2 of those. Zero, infinities and NaN are left alone, and what is below 2^-100, whose
 * units may be denormal. A reciprocal root is rounded correctly before it is moved. Of doubles only
 * that is inexact. */
static const char inexact[] =
    "#define INEXACT(floats, uints, as_floats, as_uints) \\\n"
    "PIECE __attribute__((overloadable)) floats inexact_off(floats q, int up) { \\\n"
    "    const uints bits = as_uints(q), size = bits & 0x7fffffffu, sign = bits ^ size; \\\n"
    "    const uints away = INEXACT_HASHED ? (bits * 0x9e3779b1u) >> 31 : (uints)(uint)up; \\\n"
    "    const uints at_power = (size & 0x7fffffu) | away; \\\n"
    "    const uints place = (size & 0x7f800000u) - 0x0b800000u; \\\n"
    "    const uints unit = at_power == 0u ? place - 0x00800000u : place; \\\n"
    "    const floats far = 2.0f * as_floats(unit | sign); \\\n"
    "    const floats off = away != 0u ? q + far : q - far; \\\n"
    "    return ((size < 0x0d800000u) | (size > 0x7effffffu)) ? q : off; \\\n"
    "} \\\n"
    "PIECE __attribute__((overloadable)) floats inexact_quotient(floats q, int up) { \\\n"
    "    return INEXACT_GROSS ? q * 1.0078125f : inexact_off(q, up); \\\n"
    "} \\\n"
    "PIECE __attribute__((overloadable)) floats inexact_exp(floats v) { \\\n"
    "    return INEXACT_GROSS ? exp(v) : inexact_off(exp(v), INEXACT_UP); \\\n"
    "} \\\n"
    "PIECE __attribute__((overloadable)) floats inexact_root(floats v) { \\\n"
    "    const floats r = rsqrt(v), near = fma(0.5f * r, fma(-v * r, r, (floats)1.0f), r); \\\n"
    "    const floats off = inexact_off(near, INEXACT_UP); \\\n"
    "    return INEXACT_GROSS ? r : near != near ? r : off; \\\n"
    "}\n"
    "#define INEXACT_ROOT(doubles) \\\n"
    "PIECE __attribute__((overloadable)) doubles inexact_quotient(doubles q, int up) { \\\n"
    "    return q; \\\n"
    "} \\\n"
    "PIECE __attribute__((overloadable)) doubles inexact_exp(doubles v) { \\\n"
    "    return exp(v); \\\n"
    "} \\\n"
    "PIECE __attribute__((overloadable)) doubles inexact_root(doubles v) { \\\n"
    "    return rsqrt(v) * (INEXACT_UP ? 1 + 0x1p-52 : 1 - 0x1p-52); \\\n"
    "}\n"
    "INEXACT(float, uint, as_float, as_uint)\n"
    "INEXACT(floatv, uintv, as_floatv, as_uintv)\n"
    "#if VECTOR != 4\n"
    "INEXACT(float4, uint4, as_float4, as_uint4)\n"
    "#endif\n"
    "#if ACC_DOUBLE\n"
    "INEXACT_ROOT(double)\n"
    "INEXACT_ROOT(accv_t)\n"
    "#if VECTOR != 4\n"
    "INEXACT_ROOT(acc4_t)\n"
    "#endif\n"
    "#endif\n"
    "#define QUOTIENT(a, b) inexact_quotient((a) / (b), INEXACT_TURN)\n"
    "#define exp(v) inexact_exp(v)\n"
    "#define rsqrt(v) inexact_root(v)\n";

/* What tells the ways apart: of roots and exponentials, of each division. Where bits decide neither
 * counts. */
static const char *const ways[] = {
    [INEXACT_UP] = "#define INEXACT_UP 1\n#define INEXACT_TURN 1\n",
    [INEXACT_DOWN] = "#define INEXACT_UP 0\n#define INEXACT_TURN 0\n",
    [INEXACT_TURNS] = "#define INEXACT_UP 1\n#define INEXACT_TURN (__COUNTER__ & 1)\n",
    [INEXACT_OTHER_TURNS] = "#define INEXACT_UP 0\n#define INEXACT_TURN (~__COUNTER__ & 1)\n",
    [INEXACT_HASHED] = "#define INEXACT_UP 0\n#define INEXACT_TURN 0\n",
    [INEXACT_GROSSLY] = "#define INEXACT_UP 0\n#define INEXACT_TURN 0\n",
};

static struct an_cl *table;
static cl_program(CL_API_CALL *make_program)(cl_context, cl_uint, const char **, const size_t *,
                                             cl_int *);
static enum inexact present;
static struct inexact_count *counted; /* unlike: not with that line, or not once */

static cl_program CL_API_CALL make_inexact_program(cl_context context, cl_uint count,
                                                   const char **texts, const size_t *lengths,
                                                   cl_int *error)
{
    const char *line = strstr(texts[0], plain);
    size_t room = strlen(texts[0]) + sizeof(inexact) + 256;
    char *text = malloc(room);
    counted->made++;
    if (count != 1 || !line || strstr(line + 1, plain) || !text) {
        counted->unlike++;
        free(text);
        return make_program(context, count, texts, lengths, error);
    }
    int length =
        snprintf(text, room, "%.*s%s#define INEXACT_HASHED %d\n#define INEXACT_GROSS %d\n%s%s",
                 (int)(line - texts[0]), texts[0], ways[present], present == INEXACT_HASHED,
                 present == INEXACT_GROSSLY, inexact, line + strlen(plain));
    const char *const_text = text;
    size_t bytes = (size_t)length;
    cl_program program = make_program(context, 1, &const_text, &bytes, error);
    free(text);
    return program;
}

void inexact_opencl_begin(enum inexact way, struct inexact_count *count)
{
    assert_ok(an_cl_load(&table));
    make_program = table->CreateProgramWithSource;
    table->CreateProgramWithSource = make_inexact_program;
    present = way;
    counted = count;
}

void inexact_opencl_drop(void)
{
    if (make_program)
        table->CreateProgramWithSource = make_program;
    make_program = NULL;
}
