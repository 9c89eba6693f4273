/* All tensors of a spec in one memory, and every way of handing them over wrongly. Any function
 * that takes anynorm_tensors must refuse each. */
#ifndef AN_TESTS_BAD_TENSORS_H
#define AN_TESTS_BAD_TENSORS_H

#include "support.h"

#define ARENA_ROWS 5
/* What all of the memory is filled with beforehand, and must still be afterwards. */
#define ARENA_POISON 0x5a

/* Where the tensors lie: apart, each as long as it needs to be for ARENA_ROWS rows. */
struct arena {
    anynorm_spec spec; /* resolved */
    uint64_t bytes;    /* of the memory */
    uint64_t begin[AN_TENSOR_COUNT];
    uint64_t extent[AN_TENSOR_COUNT]; /* 0: the spec does not name it */
};

/* Specs that together name every tensor as all that it can be. */
extern const anynorm_spec arena_specs[];
extern const size_t arena_spec_count;

void arena_make(const anynorm_spec *spec, struct arena *arena);

/* The tensors, each one's memory ending where it ends. */
anynorm_tensors arena_tensors(const struct arena *arena, const anynorm_buffer *memory);

/* The function under test; fails the test itself where an output argument was touched. */
typedef anynorm_status submit_function(void *user, const anynorm_tensors *tensors, uint64_t rows);

/* A function that reads the whole memory. */
typedef void read_function(void *user, unsigned char *bytes, uint64_t count);

struct bad_tensors {
    struct arena arena;
    anynorm_buffer memory;
    anynorm_buffer stranger; /* of another device or context; kind 0: there is none */
    submit_function *submit;
    read_function *read;
    void *user;
};

/* Submits the tensors in every wrong way. Fails the test unless each is refused as an invalid
 * argument, with a message that names the tensor, and the memory is as it was. */
void refuse_bad_tensors(const struct bad_tensors *bad);

/* The two tensors that overlap, and the byte of the memory where the output, moved onto the other,
 * begins; for functions that take pointers. False when `way` has run out. */
struct overlap {
    enum an_tensor output;
    enum an_tensor other;
    uint64_t begin;
};
bool arena_overlap(const struct arena *arena, unsigned way, struct overlap *overlap);
void assert_overlap_is_told(const struct overlap *overlap);

#endif
