/* What every page begins and ends with: the content policy, the style, the frame. */
#pragma once

#include "base/buf.h"

/* title is plain text; "fluxperf: " is put before it. */
void report_html_page_begin(struct buf *out, const char *title);
void report_html_page_end(struct buf *out);
