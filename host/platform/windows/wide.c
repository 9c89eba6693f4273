#include "wide.h"

#include <errno.h>
#include <stdlib.h>

bool an_windows_failed(void)
{
    static const struct {
        DWORD error;
        int number;
    } table[] = {
        {ERROR_FILE_NOT_FOUND, ENOENT},
        {ERROR_PATH_NOT_FOUND, ENOENT},
        {ERROR_INVALID_NAME, ENOENT},
        {ERROR_BAD_PATHNAME, ENOENT},
        {ERROR_BAD_NETPATH, ENOENT},
        {ERROR_DIRECTORY, ENOTDIR},
        {ERROR_FILENAME_EXCED_RANGE, ENAMETOOLONG},
        {ERROR_FILE_EXISTS, EEXIST},
        {ERROR_ALREADY_EXISTS, EEXIST},
        {ERROR_ACCESS_DENIED, EACCES},
        {ERROR_SHARING_VIOLATION, EACCES},
        {ERROR_LOCK_VIOLATION, EACCES},
        {ERROR_USER_MAPPED_FILE, EACCES},
        {ERROR_WRITE_PROTECT, EROFS},
        {ERROR_DISK_FULL, ENOSPC},
        {ERROR_HANDLE_DISK_FULL, ENOSPC},
        {ERROR_NOT_ENOUGH_MEMORY, ENOMEM},
        {ERROR_OUTOFMEMORY, ENOMEM},
        {ERROR_COMMITMENT_LIMIT, ENOMEM},
        {ERROR_TOO_MANY_OPEN_FILES, EMFILE},
        {ERROR_NO_UNICODE_TRANSLATION, EILSEQ},
        {ERROR_INSUFFICIENT_BUFFER, ENAMETOOLONG},
    };
    DWORD error = GetLastError();
    errno = EIO;
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        if (table[i].error == error)
            errno = table[i].number;
    }
    return false;
}

bool an_widen(const char *text, wchar_t wide[AN_PATH_SIZE])
{
    return MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, text, -1, wide, AN_PATH_SIZE) > 0 ||
           an_windows_failed();
}

char *an_narrow(const wchar_t *wide)
{
    int size = WideCharToMultiByte(CP_UTF8, 0, wide, -1, NULL, 0, NULL, NULL);
    char *text = size > 0 ? malloc((size_t)size) : NULL;
    if (text)
        (void)WideCharToMultiByte(CP_UTF8, 0, wide, -1, text, size, NULL, NULL);
    else
        errno = size > 0 ? ENOMEM : EILSEQ;
    return text;
}

int64_t an_nanoseconds_of(FILETIME time)
{
    const uint64_t from_1601 = UINT64_C(116444736000000000); /* in its steps of 100 ns */
    uint64_t steps = (uint64_t)time.dwHighDateTime << 32 | time.dwLowDateTime;
    return (int64_t)(steps - from_1601) * 100;
}
