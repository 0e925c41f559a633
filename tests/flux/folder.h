/* Temporary folders for tests: files written, copied, edited, and gone at the end. */
#pragma once

#include <stddef.h>

/* A new empty folder; the name is the caller's to free. */
char *folder_new(void);
/* A new folder with a copy of everything below from. */
char *folder_copy(const char *from);
/* Write text to folder/name, making folders on the way. */
void folder_write(const char *folder, const char *name, const void *bytes, size_t size);
/* Replace the first occurrence of from in folder/name; fails the test when there is none. */
void folder_edit(const char *folder, const char *name, const char *from, const char *to);
/* Remove a file or folder below it. */
void folder_remove(const char *folder, const char *name);
/* Remove it all and free the name. */
void folder_delete(char *folder);
