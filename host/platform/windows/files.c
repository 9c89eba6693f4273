#include "platform/files.h"

#include <errno.h>
#include <fcntl.h>
#include <io.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "wide.h"

#include <aclapi.h>

enum { SHARED = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE };

static HANDLE handle_of(int file)
{
    return (HANDLE)_get_osfhandle(file);
}

/* ---- Whose a file is ---- */

static bool is_well_known(PSID who, WELL_KNOWN_SID_TYPE type)
{
    return IsWellKnownSid(who, type) != 0;
}

/* Whether its owner is the process's user (or the administrators, who own what one of them makes
 * with all his rights), and the list lets in nobody but him, them and the system. */
static bool is_for(PSID user, PSID owner, PACL list)
{
    if (!EqualSid(owner, user) && !is_well_known(owner, WinBuiltinAdministratorsSid))
        return false;
    for (DWORD i = 0; list && i < list->AceCount; i++) {
        void *entry;
        if (!GetAce(list, i, &entry))
            return false;
        if (((ACE_HEADER *)entry)->AceType == ACCESS_DENIED_ACE_TYPE)
            continue;
        PSID who = &((ACCESS_ALLOWED_ACE *)entry)->SidStart;
        if (((ACE_HEADER *)entry)->AceType != ACCESS_ALLOWED_ACE_TYPE ||
            (!EqualSid(who, user) && !is_well_known(who, WinBuiltinAdministratorsSid) &&
             !is_well_known(who, WinLocalSystemSid)))
            return false;
    }
    return list; /* without one everybody is let in */
}

static bool is_private(HANDLE file)
{
    union {
        TOKEN_USER user;
        char room[sizeof(TOKEN_USER) + SECURITY_MAX_SID_SIZE];
    } token;
    HANDLE process;
    DWORD size;
    PSID owner;
    PACL list;
    PSECURITY_DESCRIPTOR security;
    if (!OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &process))
        return false;
    bool known = GetTokenInformation(process, TokenUser, &token, sizeof(token), &size);
    CloseHandle(process);
    if (!known || GetSecurityInfo(file, SE_FILE_OBJECT,
                                  OWNER_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION, &owner,
                                  NULL, &list, NULL, &security) != ERROR_SUCCESS)
        return false;
    bool ours = is_for(token.user.User.Sid, owner, list);
    LocalFree(security);
    return ours;
}

/* ---- What a file is ---- */

static bool fill(HANDLE file, struct an_status *status)
{
    BY_HANDLE_FILE_INFORMATION from;
    if (GetFileType(file) != FILE_TYPE_DISK) {
        *status = (struct an_status){.kind = AN_KIND_OTHER, .mode = 0666};
        return true;
    }
    if (!GetFileInformationByHandle(file, &from))
        return an_windows_failed();
    DWORD what = from.dwFileAttributes;
    *status = (struct an_status){
        .kind = what & FILE_ATTRIBUTE_REPARSE_POINT ? AN_KIND_LINK
                : what & FILE_ATTRIBUTE_DIRECTORY   ? AN_KIND_FOLDER
                                                    : AN_KIND_FILE,
        .mode = what & FILE_ATTRIBUTE_READONLY ? 0444 : 0666,
        .private = is_private(file),
        .size = (uint64_t)from.nFileSizeHigh << 32 | from.nFileSizeLow,
        .device = from.dwVolumeSerialNumber,
        .number = (uint64_t)from.nFileIndexHigh << 32 | from.nFileIndexLow,
        .changed = an_nanoseconds_of(from.ftLastWriteTime),
    };
    return true;
}

/* A folder too; `flags`: whether links are followed. */
static HANDLE look_at(const wchar_t *path, DWORD access, DWORD flags)
{
    return CreateFileW(path, access, SHARED, NULL, OPEN_EXISTING,
                       FILE_FLAG_BACKUP_SEMANTICS | flags, NULL);
}

static bool status_of(const wchar_t *path, DWORD flags, struct an_status *status)
{
    HANDLE file = look_at(path, FILE_READ_ATTRIBUTES | READ_CONTROL, flags);
    if (file == INVALID_HANDLE_VALUE)
        return an_windows_failed();
    bool done = fill(file, status);
    CloseHandle(file);
    return done;
}

/* ---- Opening ---- */

static int descriptor_of(HANDLE file, int flags)
{
    int descriptor = file == INVALID_HANDLE_VALUE ? -1 : _open_osfhandle((intptr_t)file, flags);
    if (file == INVALID_HANDLE_VALUE)
        an_windows_failed();
    else if (descriptor < 0)
        CloseHandle(file);
    return descriptor;
}

static int open_wide(const wchar_t *path, enum an_open how, DWORD access, DWORD flags)
{
    if (how == AN_OPEN_READ)
        return descriptor_of(look_at(path, GENERIC_READ | access, flags), _O_RDONLY);
    return descriptor_of(CreateFileW(path, GENERIC_WRITE, SHARED, NULL,
                                     how == AN_OPEN_CREATE ? CREATE_NEW : OPEN_EXISTING,
                                     FILE_ATTRIBUTE_NORMAL, NULL),
                         0);
}

/* ---- By path ---- */

int an_file_open(const char *path, enum an_open how, int mode)
{
    wchar_t wide[AN_PATH_SIZE];
    (void)mode; /* as the folder has it */
    return an_widen(path, wide) ? open_wide(wide, how, 0, 0) : -1;
}

bool an_path_status(const char *path, bool follow, struct an_status *status)
{
    wchar_t wide[AN_PATH_SIZE];
    if (_stricmp(an_path_base(path), "nul") == 0) {
        *status = (struct an_status){.kind = AN_KIND_SINK, .mode = 0666};
        return true;
    }
    return an_widen(path, wide) &&
           status_of(wide, follow ? 0 : FILE_FLAG_OPEN_REPARSE_POINT, status);
}

/* Whether files may be made in a folder, making one tells. */
bool an_path_writable(const char *path, bool folder)
{
    wchar_t wide[AN_PATH_SIZE];
    return folder || (an_widen(path, wide) && _waccess(wide, 2) == 0);
}

char *an_path_resolve(const char *path)
{
    wchar_t wide[AN_PATH_SIZE];
    if (!an_widen(path, wide))
        return NULL;
    HANDLE file = look_at(wide, FILE_READ_ATTRIBUTES, 0);
    DWORD length = file == INVALID_HANDLE_VALUE
                       ? 0
                       : GetFinalPathNameByHandleW(file, wide, AN_PATH_SIZE, FILE_NAME_NORMALIZED);
    if (length == 0 || length >= AN_PATH_SIZE)
        an_windows_failed();
    if (file != INVALID_HANDLE_VALUE)
        CloseHandle(file);
    return length > 0 && length < AN_PATH_SIZE ? an_narrow(wide) : NULL;
}

bool an_path_is_separator(char c)
{
    return c == '/' || c == '\\';
}

bool an_path_is_absolute(const char *path)
{
    if (an_path_is_separator(path[0]))
        return an_path_is_separator(path[1]); /* \\machine\... */
    return path[0] && path[1] == ':' && an_path_is_separator(path[2]);
}

const char *an_path_base(const char *path)
{
    const char *base = path[0] && path[1] == ':' ? path + 2 : path;
    for (const char *at = base; *at; at++) {
        if (an_path_is_separator(*at))
            base = at + 1;
    }
    return base;
}

char *an_path_folder(const char *path)
{
    size_t length = (size_t)(an_path_base(path) - path);
    bool root = length <= 1 || (length <= 3 && path[1] == ':');
    if (length == 0)
        return strdup(".");
    length -= !root;
    char *folder = malloc(length + 1);
    if (folder) {
        memcpy(folder, path, length);
        folder[length] = 0;
    }
    return folder;
}

static bool delete_wide(const wchar_t *path)
{
    return DeleteFileW(path) || an_windows_failed();
}

static bool rename_wide(const wchar_t *from, const wchar_t *to)
{
    return MoveFileExW(from, to, MOVEFILE_REPLACE_EXISTING) || an_windows_failed();
}

bool an_path_delete(const char *path)
{
    wchar_t wide[AN_PATH_SIZE];
    return an_widen(path, wide) && delete_wide(wide);
}

bool an_path_rename(const char *from, const char *to)
{
    wchar_t wide_from[AN_PATH_SIZE], wide_to[AN_PATH_SIZE];
    return an_widen(from, wide_from) && an_widen(to, wide_to) && rename_wide(wide_from, wide_to);
}

bool an_path_exchange(const char *one, const char *other)
{
    (void)one;
    (void)other;
    return false;
}

/* Below %LOCALAPPDATA% it has no other readers than that. */
bool an_folder_make(const char *path)
{
    wchar_t wide[AN_PATH_SIZE];
    return an_widen(path, wide) && (CreateDirectoryW(wide, NULL) || an_windows_failed());
}

/* ---- By descriptor ---- */

bool an_file_close(int file)
{
    return _close(file) == 0;
}

bool an_file_status(int file, struct an_status *status)
{
    return fill(handle_of(file), status);
}

enum { MOST = 1 << 30 };

int64_t an_file_read(int file, void *bytes, size_t size)
{
    size_t length = 0;
    int part = 1;
    while (length < size && part > 0) {
        size_t rest = size - length;
        part = _read(file, (char *)bytes + length, rest < MOST ? (unsigned)rest : MOST);
        if (part < 0)
            return -1;
        length += (size_t)part;
    }
    return (int64_t)length;
}

bool an_file_write(int file, const void *bytes, size_t size)
{
    const char *from = bytes;
    errno = 0;
    while (size > 0) {
        int part = _write(file, from, size < MOST ? (unsigned)size : MOST);
        if (part <= 0)
            return false;
        from += part;
        size -= (size_t)part;
    }
    return true;
}

bool an_file_touch(int file)
{
    FILETIME now;
    GetSystemTimeAsFileTime(&now);
    return SetFileTime(handle_of(file), NULL, NULL, &now) || an_windows_failed();
}

/* A new file has the rights of its folder. */
void an_file_set_mode(int file, int mode)
{
    (void)file;
    (void)mode;
}

void *an_file_map(int file, size_t size)
{
    HANDLE mapping = CreateFileMappingW(handle_of(file), NULL, PAGE_READONLY, 0, 0, NULL);
    void *bytes = mapping ? MapViewOfFile(mapping, FILE_MAP_READ, 0, 0, size) : NULL;
    if (!bytes)
        an_windows_failed();
    if (mapping)
        CloseHandle(mapping);
    return bytes;
}

void an_file_unmap(void *bytes, size_t size)
{
    (void)size;
    UnmapViewOfFile(bytes);
}

bool an_file_size_allowed(size_t size)
{
    (void)size;
    return true;
}

/* ---- Within an open folder ---- */

int an_folder_open(const char *path)
{
    wchar_t wide[AN_PATH_SIZE];
    struct an_status status;
    if (!an_widen(path, wide))
        return -1;
    int folder = open_wide(wide, AN_OPEN_READ, READ_CONTROL, FILE_FLAG_OPEN_REPARSE_POINT);
    if (folder < 0 || (an_file_status(folder, &status) && status.kind == AN_KIND_FOLDER))
        return folder;
    _close(folder);
    errno = ENOTDIR;
    return -1;
}

/* The path of what has the name in the folder, wherever that may have been moved. */
static bool join(int folder, const char *name, wchar_t path[AN_PATH_SIZE])
{
    wchar_t wide[AN_PATH_SIZE];
    DWORD length =
        GetFinalPathNameByHandleW(handle_of(folder), path, AN_PATH_SIZE, FILE_NAME_NORMALIZED);
    if (length == 0 || length >= AN_PATH_SIZE)
        return an_windows_failed();
    if (!an_widen(name, wide))
        return false;
    if (length + 1 + wcslen(wide) >= AN_PATH_SIZE) {
        errno = ENAMETOOLONG;
        return false;
    }
    path[length] = L'\\';
    wcscpy(path + length + 1, wide);
    return true;
}

int an_folder_file(int folder, const char *name, enum an_open how)
{
    wchar_t path[AN_PATH_SIZE];
    struct an_status status;
    if (!join(folder, name, path))
        return -1;
    int file = open_wide(path, how, FILE_WRITE_ATTRIBUTES, FILE_FLAG_OPEN_REPARSE_POINT);
    if (file < 0 || (an_file_status(file, &status) && status.kind != AN_KIND_LINK))
        return file;
    _close(file);
    errno = EEXIST; /* a link: no shortage, and not nothing */
    return -1;
}

bool an_folder_status(int folder, const char *name, struct an_status *status)
{
    wchar_t path[AN_PATH_SIZE];
    return join(folder, name, path) && status_of(path, FILE_FLAG_OPEN_REPARSE_POINT, status);
}

bool an_folder_delete(int folder, const char *name)
{
    wchar_t path[AN_PATH_SIZE];
    return join(folder, name, path) && delete_wide(path);
}

bool an_folder_rename(int folder, const char *from, const char *to)
{
    wchar_t wide_from[AN_PATH_SIZE], wide_to[AN_PATH_SIZE];
    return join(folder, from, wide_from) && join(folder, to, wide_to) &&
           rename_wide(wide_from, wide_to);
}

void an_folder_list(int folder, bool (*each)(void *user, const char *name), void *user)
{
    wchar_t path[AN_PATH_SIZE];
    WIN32_FIND_DATAW found;
    HANDLE list = join(folder, "*", path) ? FindFirstFileW(path, &found) : INVALID_HANDLE_VALUE;
    bool more = list != INVALID_HANDLE_VALUE;
    while (more) {
        char *name = an_narrow(found.cFileName);
        more = name && each(user, name) && FindNextFileW(list, &found);
        free(name);
    }
    if (list != INVALID_HANDLE_VALUE)
        FindClose(list);
}
