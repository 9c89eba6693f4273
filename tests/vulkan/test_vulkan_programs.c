/* Pipelines that are kept in the folder of compiled programs: what a driver gives of them is a
 * test's own, since software drivers keep theirs elsewhere and give a header only.
 *
 *     ANYNORM_TEST_DEVICE=vulkan:0   only this device
 */
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/binary.h"
#include "vulkan/vulkan_backend.h"

enum { HEADER = 32, DATA_BYTES = HEADER + 200 };

static unsigned char data[DATA_BYTES];
static struct VolkDeviceTable inner;
static size_t given;                         /* bytes that the driver tells of */
static size_t taken;                         /* bytes that it was handed last */
static bool same;                            /* whether they were `data` */
static VkPipelineCreationFeedbackFlags told; /* of what it compiles */
static VkResult data_result;                 /* of a cache that is made of data */
static VkResult pipeline_result;             /* of a pipeline with such a cache */
static unsigned refusals;                    /* that the driver gave */
static char base[FOLDER_BYTES], folder[FOLDER_BYTES + 8], entry[160];

static VKAPI_ATTR VkResult VKAPI_CALL create_cache(VkDevice a, const VkPipelineCacheCreateInfo *b,
                                                   const VkAllocationCallbacks *c,
                                                   VkPipelineCache *d)
{
    VkPipelineCacheCreateInfo empty = *b;
    taken = b->initialDataSize;
    same = taken == sizeof(data) && memcmp(b->pInitialData, data, sizeof(data)) == 0;
    if (taken > 0 && data_result != VK_SUCCESS) {
        refusals++;
        return data_result;
    }
    empty.initialDataSize = 0;
    empty.pInitialData = NULL;
    return inner.vkCreatePipelineCache(a, &empty, c, d);
}

static VKAPI_ATTR VkResult VKAPI_CALL cache_data(VkDevice a, VkPipelineCache b, size_t *size,
                                                 void *to)
{
    (void)a;
    (void)b;
    if (to)
        memcpy(to, data, *size < given ? *size : given);
    *size = given;
    return VK_SUCCESS;
}

static VKAPI_ATTR VkResult VKAPI_CALL create_pipelines(VkDevice a, VkPipelineCache b, uint32_t c,
                                                       const VkComputePipelineCreateInfo *d,
                                                       const VkAllocationCallbacks *e,
                                                       VkPipeline *f)
{
    if (taken > 0 && pipeline_result != VK_SUCCESS) {
        *f = VK_NULL_HANDLE;
        refusals++;
        return pipeline_result;
    }
    VkResult result = inner.vkCreateComputePipelines(a, b, c, d, e, f);
    const VkPipelineCreationFeedbackCreateInfo *feedback = d->pNext;
    if (feedback && feedback->sType == VK_STRUCTURE_TYPE_PIPELINE_CREATION_FEEDBACK_CREATE_INFO)
        feedback->pPipelineCreationFeedback->flags = told;
    return result;
}

static const anynorm_spec usual = {
    .columns = 96, .flags = ALL_FLAGS, .statistic.eps = ANYNORM_EPS_DEFAULT};

/* Makes the usual plan on a device of its own, and says how many bytes the driver was handed. */
static size_t make_usual(const char *id)
{
    struct problem problem = {.spec = usual, .rows = 3, .seed = 1};
    struct errors worst = {0};
    anynorm_device *device = open_device(id);
    struct VolkDeviceTable *vk = &an_vulkan(device)->vk;
    inner = *vk;
    vk->vkCreatePipelineCache = create_cache;
    vk->vkGetPipelineCacheData = cache_data;
    vk->vkCreateComputePipelines = create_pipelines;
    taken = SIZE_MAX;
    anynorm_plan *plan = make_plan(device, &usual, NULL);
    check_plan(device, plan, &problem, "kept", &worst);
    anynorm_plan_destroy(plan);
    anynorm_device_close(device);
    return taken;
}

static int count_entries(void)
{
    int entries = count_files(folder, "", entry, sizeof(entry));
    return entries < 0 && errno == ENOENT ? 0 : entries;
}

static void test_an_entry_serves(void **state)
{
    if (strncmp(*state, "vulkan:", 7) != 0)
        return;
    assert_int_equal(make_usual(*state), 0);
    assert_int_equal(count_entries(), 1);
    assert_int_equal(make_usual(*state), sizeof(data));
    assert_true(same);
    assert_int_equal(count_entries(), 1);
    assert_int_equal(setenv("ANYNORM_CACHE", "off", 1), 0);
    assert_int_equal(make_usual(*state), 0);
}

/* The driver's header alone says nothing that is worth a file. */
static void test_a_header_is_not_kept(void **state)
{
    if (strncmp(*state, "vulkan:", 7) != 0)
        return;
    for (given = 0; given <= HEADER; given += HEADER) {
        assert_int_equal(make_usual(*state), 0);
        assert_int_equal(count_entries(), 0);
    }
}

static void test_damage_never_reaches_the_driver(void **state)
{
    enum { FLIPS = 5 };
    if (strncmp(*state, "vulkan:", 7) != 0)
        return;
    assert_int_equal(make_usual(*state), 0);
    for (long i = 0; i < FLIPS; i++) {
        struct stat status;
        unsigned char byte;
        assert_int_equal(count_entries(), 1);
        int file = open(entry, O_RDWR);
        assert_true(file >= 0);
        assert_int_equal(fstat(file, &status), 0);
        off_t at = i * (status.st_size - 1) / (FLIPS - 1);
        assert_int_equal(pread(file, &byte, 1, at), 1);
        byte ^= 0x80;
        assert_int_equal(pwrite(file, &byte, 1, at), 1);
        if (i % 2) /* a torn one */
            assert_int_equal(ftruncate(file, status.st_size / 2), 0);
        assert_int_equal(close(file), 0);
        assert_int_equal(make_usual(*state), 0);
        assert_int_equal(make_usual(*state), sizeof(data)); /* made anew */
        assert_true(same);
    }
}

/* An intact entry that the driver makes nothing of is replaced; one that serves, or of which it
 * does not tell, stays. */
static void test_what_is_of_no_use_is_replaced(void **state)
{
    static const VkPipelineCreationFeedbackFlags
        valid = VK_PIPELINE_CREATION_FEEDBACK_VALID_BIT,
        hit = VK_PIPELINE_CREATION_FEEDBACK_APPLICATION_PIPELINE_CACHE_HIT_BIT;
    if (strncmp(*state, "vulkan:", 7) != 0)
        return;
    assert_int_equal(make_usual(*state), 0);
    data[HEADER + 1] ^= 1; /* what the driver gives from now on */
    for (told = 0; told <= (valid | hit); told += valid | hit) {
        assert_int_equal(make_usual(*state), sizeof(data));
        assert_false(same);
    }
    anynorm_device *device = open_device(*state);
    bool tells = an_vulkan(device)->features.creation_feedback;
    anynorm_device_close(device);
    told = valid;
    assert_int_equal(make_usual(*state), sizeof(data));
    assert_false(same);
    assert_int_equal(make_usual(*state), sizeof(data));
    assert_int_equal(same, tells);
}

/* An intact entry that the driver refuses, or with which it cannot compile, costs a compilation:
 * the plan is made without it, and the entry is replaced. */
static void test_what_is_refused_is_replaced(void **state)
{
    static const VkResult results[] = {VK_ERROR_UNKNOWN, VK_ERROR_INITIALIZATION_FAILED,
                                       VK_ERROR_OUT_OF_HOST_MEMORY};
    if (strncmp(*state, "vulkan:", 7) != 0)
        return;
    assert_int_equal(make_usual(*state), 0);
    for (size_t i = 0; i < 2 * COUNT(results); i++) {
        data[HEADER + 1] ^= 1; /* what the driver gives from now on */
        *(i % 2 ? &data_result : &pipeline_result) = results[i / 2];
        refusals = 0;
        assert_int_equal(make_usual(*state), 0);
        assert_int_equal(refusals, 1);
        data_result = pipeline_result = VK_SUCCESS;
        assert_int_equal(count_entries(), 1);
        assert_int_equal(make_usual(*state), sizeof(data));
        assert_true(same);
    }
}

/* Nobody else may write there. */
static void test_an_open_folder_is_refused(void **state)
{
    if (strncmp(*state, "vulkan:", 7) != 0)
        return;
    assert_int_equal(make_usual(*state), 0);
    assert_int_equal(chmod(folder, 0777), 0);
    assert_int_equal(make_usual(*state), 0);
    assert_int_equal(chmod(folder, 0700), 0);
    assert_int_equal(make_usual(*state), sizeof(data));
}

static int make_base(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (unsigned char)(7 * i + 1);
    given = sizeof(data);
    told = 0;
    data_result = pipeline_result = VK_SUCCESS;
    make_folder(base);
    snprintf(folder, sizeof(folder), "%s/cache", base);
    assert_int_equal(setenv("ANYNORM_CACHE", "on", 1), 0);
    return setenv("ANYNORM_CACHE_DIR", folder, 1);
}

static int remove_base(void **state)
{
    (void)state;
    remove_folder(base);
    return 0;
}

int main(void)
{
    static const struct device_test tests[] = {
        {"an entry serves", test_an_entry_serves},
        {"a header is not kept", test_a_header_is_not_kept},
        {"damage never reaches the driver", test_damage_never_reaches_the_driver},
        {"what is of no use is replaced", test_what_is_of_no_use_is_replaced},
        {"what is refused is replaced", test_what_is_refused_is_replaced},
        {"an open folder is refused", test_an_open_folder_is_refused},
    };
    return run_on_devices("vulkan programs", tests, COUNT(tests), make_base, remove_base);
}
