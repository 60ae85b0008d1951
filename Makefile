# dcm: `make` builds everything into build/, `make check` passes all tests.
# Other targets: install, asan, tsan, bench, clean.  See README.md.

VERSION   := 0.1.0
SOVERSION := 0
PREFIX    ?= /usr/local
DESTDIR   ?=
CC        ?= cc
BUILD     ?= build

WARN   := -Wall -Wextra -Werror -Wshadow -Wpointer-arith -Wstrict-prototypes \
          -Wmissing-prototypes -Wwrite-strings -Wformat=2 -Wundef -Wvla
OPT    ?= -O2 -g
SAN    ?=
CPPFLAGS += -D_GNU_SOURCE -DDCM_PREFIX='"$(PREFIX)"'
CFLAGS   += -std=c11 $(OPT) $(WARN) $(SAN) -fPIC -fvisibility=hidden -fstack-protector-strong
LDFLAGS  += $(SAN) -Wl,-z,relro,-z,now -Wl,--as-needed

# ---- what is built of what --------------------------------------------------

# libdcm: what readers link.
LIB_SRC := $(addprefix shm/, \
	mp.c names.c fields.c record_read.c record_json.c region_read.c \
	dcm_open.c dcm_hosts.c dcm_read.c dcm_query.c dcm_ask.c dcm_changes.c protocol.c)
# What only the daemon's side needs of shm/.
WRITER_SRC := $(addprefix shm/, record_write.c region_write.c region_space.c region_attach.c \
	control.c log.c)
BROKER_SRC    := $(wildcard broker/*.c)
COLLECTOR_SRC := $(wildcard collector/*.c)
CLIENT_SRC    := $(wildcard client/*.c)
# (parts below: see each folder)
