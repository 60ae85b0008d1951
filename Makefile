# dcm: `make` builds everything into build/, `make check` passes all tests,
# `make help` lists the rest.  See README.md.

VERSION   := 0.1.0
SOVERSION := 0
PREFIX    ?= /usr/local
DESTDIR   ?=
CC        := $(if $(filter default,$(origin CC)),cc,$(CC))
BUILD     ?= build
# Extra flags of a special build, such as -fsanitize=address,undefined.
SAN       ?=
OPT       ?= -O2 -g

WARN := -Wall -Wextra -Werror -Wshadow -Wpointer-arith -Wstrict-prototypes \
        -Wmissing-prototypes -Wwrite-strings -Wformat=2 -Wundef -Wvla
CPPFLAGS += -D_GNU_SOURCE
CFLAGS   += -std=c11 $(OPT) $(WARN) $(SAN) -fPIC -fvisibility=hidden -fstack-protector-strong
LDFLAGS  += $(SAN) -Wl,-z,relro,-z,now -Wl,--as-needed

# ---- what is built of what ---------------------------------------------------
# Each part is an archive; a program or test links the archives below it, and
# takes of them what it uses.

# Daemon's side of shm/: writing, snapshots, control messages, log.  All else is libdcm.
WRITER_SRC    := $(wildcard shm/region_write*.c shm/record_write*.c shm/snapshot.c shm/control.c \
                            shm/condition.c shm/log.c)
LIB_SRC       := $(filter-out $(WRITER_SRC),$(wildcard shm/*.c))
BROKER_SRC    := $(wildcard broker/*.c)
COLLECTOR_SRC := $(filter-out collector/dcmd.c,$(wildcard collector/*.c))
CLIENT_SRC    := $(filter-out client/main.c,$(wildcard client/*.c))

LIB_LIBS       := -lxxhash
WRITER_LIBS    := -lmsgpackc -llz4
COLLECTOR_LIBS := -lcurl -lssh2 -levent_core -ljson-c -lyaml
BROKER_LIBS    := -levent_core

obj = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))

all: $(BUILD)/dcmd $(BUILD)/dcm-client $(BUILD)/libdcm.so $(BUILD)/libdcm.a

$(BUILD)/libdcm.a: $(call obj,$(LIB_SRC))
$(BUILD)/libwriter.a: $(call obj,$(WRITER_SRC))
$(BUILD)/libbroker.a: $(call obj,$(BROKER_SRC))
$(BUILD)/libcollector.a: $(call obj,$(COLLECTOR_SRC))
$(BUILD)/libclient.a: $(call obj,$(CLIENT_SRC))
$(BUILD)/%.a:
	@mkdir -p $(@D)
	@rm -f $@
	$(AR) rcs $@ $^

$(BUILD)/dcmd: $(BUILD)/obj/collector/dcmd.o $(BUILD)/libcollector.a $(BUILD)/libbroker.a \
		$(BUILD)/libwriter.a $(BUILD)/libdcm.a
	$(CC) $(LDFLAGS) -o $@ $^ $(COLLECTOR_LIBS) $(BROKER_LIBS) $(WRITER_LIBS) $(LIB_LIBS) -lm

$(BUILD)/dcm-client: $(BUILD)/obj/client/main.o $(BUILD)/libclient.a $(BUILD)/libdcm.a
	$(CC) $(LDFLAGS) -o $@ $^ $(WRITER_LIBS) $(LIB_LIBS) -lm

$(BUILD)/libdcm.so: $(BUILD)/libdcm.so.$(SOVERSION)
	ln -sf $(<F) $@
$(BUILD)/libdcm.so.$(SOVERSION): $(call obj,$(LIB_SRC)) shm/libdcm.map
	$(CC) $(LDFLAGS) -shared -Wl,-soname,libdcm.so.$(SOVERSION) \
		-Wl,--version-script=shm/libdcm.map -o $@ $(filter %.o,$^) $(WRITER_LIBS) $(LIB_LIBS) -lm

$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)

# ---- tests: see tests/README.md ----------------------------------------------

include tests/tests.mk

# ---- the rest ----------------------------------------------------------------

# Where things go is written into them now, whatever PREFIX they were built with.  The
# library's directory may be new to the loader (not so below a DESTDIR, or not as root).
TO      := $(DESTDIR)$(PREFIX)
PLACED  := sed -e 's|@PREFIX@|$(PREFIX)|; s|@VERSION@|$(VERSION)|; s|/usr/local/|$(PREFIX)/|'

install: all
	install -d $(TO)/sbin $(TO)/bin $(TO)/include $(TO)/lib/pkgconfig \
		$(TO)/lib/systemd/system $(TO)/lib/systemd/user \
		$(addprefix $(TO)/share/man/man,1 3 5 8) $(TO)/share/bash-completion/completions
	install -m755 $(BUILD)/dcmd $(TO)/sbin/
	install -m755 $(BUILD)/dcm-client $(TO)/bin/
	install -m644 $(BUILD)/libdcm.a $(BUILD)/libdcm.so.$(SOVERSION) $(TO)/lib/
	ln -sf libdcm.so.$(SOVERSION) $(TO)/lib/libdcm.so
	install -m644 shm/dcm.h $(TO)/include/
	$(PLACED) shm/libdcm.pc.in | install -m644 /dev/stdin $(TO)/lib/pkgconfig/libdcm.pc
	ln -sf libdcm.pc $(TO)/lib/pkgconfig/dcm.pc
	$(PLACED) scripts/dcmd.service | install -m644 /dev/stdin $(TO)/lib/systemd/system/dcmd.service
	$(PLACED) scripts/dcmd-user.service | \
		install -m644 /dev/stdin $(TO)/lib/systemd/user/dcmd.service
	install -m644 docs/dcm-client.1 $(TO)/share/man/man1/
	install -m644 docs/libdcm.3 $(TO)/share/man/man3/
	install -m644 docs/dcm-hosts.yml.5 $(TO)/share/man/man5/
	install -m644 docs/dcmd.8 $(TO)/share/man/man8/
	install -m644 scripts/dcm-client.bash $(TO)/share/bash-completion/completions/dcm-client
	test -n '$(DESTDIR)' || PATH=$$PATH:/sbin:/usr/sbin ldconfig 2>/dev/null || true

clean:
	rm -rf $(BUILD)

help:
	@echo "all install clean    build/: dcmd dcm-client libdcm.so libdcm.a"
	@echo "check                every test"
	@echo "unit asan tsan stress integration    a part of it (tests/README.md)"
	@echo "fuzz chaos           minutes of noise, and of killing at random"
	@echo "bench bench-scale    figures beside those of rivals: docs/performance.md"

.PHONY: all install clean help
.SECONDARY:
