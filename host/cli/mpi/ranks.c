#include "ranks.h"

#include "platform/system.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_AT_ONCE = 1 << 30 };

static bool fail_mpi(const char *subject, const char *call, int error)
{
    char text[MPI_MAX_ERROR_STRING] = "";
    int length;

    (void)MPI_Error_string(error, text, &length);
    return cli_fail(CLI_FAILED, subject, "%s failed: %s", call, text);
}

bool ranks_agree(struct ranks *ranks, bool done, int *exit_status)
{
    int64_t failed = done ? INT64_MAX : ranks->step * ranks->size + ranks->rank, least;
    int first, status;
    double started = an_clock_seconds();

    (void)MPI_Allreduce(&failed, &least, 1, MPI_INT64_T, MPI_MIN, ranks->all);
    ranks->waited += an_clock_seconds() - started;
    if (least == INT64_MAX)
        return true;
    first = (int)(least % ranks->size);
    status = first == ranks->rank ? cli_error_print() : 0;
    (void)MPI_Bcast(&status, 1, MPI_INT, first, ranks->all);
    *exit_status = status;
    return false;
}

bool ranks_all(struct ranks *ranks, bool done)
{
    int own = done, all;
    double started = an_clock_seconds();

    (void)MPI_Allreduce(&own, &all, 1, MPI_INT, MPI_LAND, ranks->all);
    ranks->waited += an_clock_seconds() - started;
    if (done)
        ranks->step = 1;
    return all;
}

/* ---- Devices ---- */

const char *ranks_device(const struct ranks *ranks, char id[32])
{
    MPI_Comm node;
    anynorm_device *best;
    anynorm_device_info wanted, info;
    int rank = 0;
    size_t alike = 0, at;

    (void)MPI_Comm_split_type(ranks->all, MPI_COMM_TYPE_SHARED, ranks->rank, MPI_INFO_NULL, &node);
    (void)MPI_Comm_rank(node, &rank);
    (void)MPI_Comm_free(&node);
    if (anynorm_device_open(NULL, &best) != ANYNORM_OK)
        return NULL;
    if (anynorm_device_describe(best, &wanted) != ANYNORM_OK)
        *wanted.id = 0;
    anynorm_device_close(best);
    /* Of the same API, as a device may be there by both. */
    at = strcspn(wanted.id, ":") + 1;
    for (int pass = 0; pass < 2; pass++) {
        size_t wish = alike ? (size_t)rank % alike : 0, seen = 0;

        for (size_t i = 0; i < anynorm_device_count(); i++) {
            if (anynorm_device_list(i, &info) != ANYNORM_OK || *info.unusable ||
                strncmp(info.id, wanted.id, at) != 0 || strcmp(info.name, wanted.name) != 0)
                continue;
            if (pass == 0)
                alike++;
            else if (seen++ == wish)
                memcpy(id, info.id, sizeof(info.id));
        }
    }
    return alike ? id : NULL;
}

struct identity {
    char version[32];
    char device[128];
    char driver[256];
    char choice[128];
    bool reference;
};

bool ranks_compare(struct ranks *ranks, const struct norm *work)
{
    struct identity own = {.version = ANYNORM_VERSION}, first;
    anynorm_device_info info;
    anynorm_plan_info plan;
    bool sums = work->spec.gradients.flags & ~(uint32_t)(ANYNORM_DX | ANYNORM_DRESIDUAL);
    int differs[3], least[3];

    if (anynorm_device_describe(work->device, &info) == ANYNORM_OK) {
        memcpy(own.device, info.name, sizeof(own.device));
        memcpy(own.driver, info.driver, sizeof(own.driver));
        own.reference = info.device_class == ANYNORM_CLASS_REFERENCE;
    }
    if (anynorm_plan_describe(work->plan, &plan) == ANYNORM_OK)
        memcpy(own.choice, plan.choice, sizeof(own.choice));
    first = own;
    (void)MPI_Bcast(&first, sizeof(first), MPI_BYTE, 0, ranks->all);
    differs[0] = strcmp(own.version, first.version) == 0 ? ranks->size : ranks->rank;
    differs[1] = memcmp(&own, &first, sizeof(own)) == 0 ? ranks->size : ranks->rank;
    differs[2] = !sums || own.reference == first.reference ? ranks->size : ranks->rank;
    (void)MPI_Allreduce(differs, least, 3, MPI_INT, MPI_MIN, ranks->all);
    if (least[0] < ranks->size)
        return ranks->rank != 0 || cli_fail(CLI_USAGE, "anynorm-mpi",
                                            "ranks 0 and %d are not of one version", least[0]);
    if (least[2] < ranks->size)
        return ranks->rank != 0 ||
               cli_fail(CLI_USAGE, "anynorm-mpi",
                        "of ranks 0 and %d one alone has the device reference, which sums over "
                        "rows in another way; give all of them it, or none",
                        least[2]);
    if (least[1] < ranks->size && ranks->rank == 0)
        fprintf(
            stderr,
            "anynorm-mpi: ranks 0 and %d have different devices, drivers or schedules: the last "
            "bits of rows depend on the rank\n",
            least[1]);
    return true;
}

/* ---- Files ---- */

static bool open_one(struct ranks *ranks, const struct norm *work, int i)
{
    const struct output *output = &work->outputs[i];
    const char *name = output->direct ? NULL : output->temporary;
    int length = ranks->rank == 0 && name ? (int)strlen(name) + 1 : 0, error;
    char *path;

    (void)MPI_Bcast(&length, 1, MPI_INT, 0, ranks->all);
    if (length == 0)
        return true; /* what goes nowhere */
    path = malloc((size_t)length);
    if (!path)
        return cli_fail(CLI_FAILED, output->path, "out of memory");
    if (ranks->rank == 0)
        memcpy(path, name, (size_t)length);
    (void)MPI_Bcast(path, length, MPI_CHAR, 0, ranks->all);
    error = MPI_File_open(ranks->all, path, MPI_MODE_WRONLY, MPI_INFO_NULL, &ranks->files[i]);
    free(path);
    if (error != MPI_SUCCESS)
        return fail_mpi(work->options.outputs[i], "MPI_File_open", error);
    ranks->opened[i] = true;
    return true;
}

bool ranks_open(struct ranks *ranks, const struct norm *work)
{
    bool done = true;

    for (int i = 0; i < OUTPUTS; i++) {
        if (work->options.outputs[i])
            done = open_one(ranks, work, i) && done; /* all of them: it takes all ranks */
    }
    return done;
}

bool ranks_write(struct ranks *ranks, enum norm_output_name output, uint64_t at, const void *data,
                 size_t bytes)
{
    const char *from = data;

    if (!ranks->opened[output])
        return true;
    while (bytes > 0) {
        int count = bytes < MOST_AT_ONCE ? (int)bytes : MOST_AT_ONCE, written = 0;
        MPI_Status status;
        int error =
            MPI_File_write_at(ranks->files[output], (MPI_Offset)at, from, count, MPI_BYTE, &status);

        if (error == MPI_SUCCESS)
            error = MPI_Get_count(&status, MPI_BYTE, &written);
        if (error != MPI_SUCCESS || written <= 0)
            return error != MPI_SUCCESS ? fail_mpi("output", "MPI_File_write_at", error)
                                        : cli_fail(CLI_FAILED, "output",
                                                   "cannot be written: nothing of it was taken");
        from += written;
        at += (uint64_t)written;
        bytes -= (size_t)written;
    }
    return true;
}

bool ranks_close(struct ranks *ranks)
{
    bool done = true;

    for (int i = 0; i < OUTPUTS; i++) {
        int error = ranks->opened[i] ? MPI_File_close(&ranks->files[i]) : MPI_SUCCESS;

        ranks->opened[i] = false;
        if (error != MPI_SUCCESS)
            done = fail_mpi("output", "MPI_File_close", error);
    }
    return done;
}
