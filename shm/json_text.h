/* json_text.h - values as JSON text, appended to a dcm_text; what is not known is
 * null.  Each returns DCM_OK or DCM_ENOMEM.  Private to shm/. */
#ifndef DCM_JSON_TEXT_H
#define DCM_JSON_TEXT_H

#include "dcm.h"

int json_text_raw(struct dcm_text *t, const char *s, size_t n);
int json_text_word(struct dcm_text *t, const char *s);
int json_text_int(struct dcm_text *t, int64_t v);
int json_text_float(struct dcm_text *t, double v);
int json_text_bool(struct dcm_text *t, int v); /* -1: null */

#endif
