# bash completion of dcm-client: commands, options, hosts, containers, filters.
# Asks dcm-client itself, so it knows what the memory holds at this moment.

# The global options that stand on the line already, so that the same instance is asked.
__dcm_client_ask() {
	local i args=()
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		--instance | --runtime-dir)
			args+=("${COMP_WORDS[i]}" "${COMP_WORDS[i + 1]}")
			;;
		esac
	done
	dcm-client "${args[@]}" "$@" 2>/dev/null
}

# The words that are no options: the command and its arguments before the cursor.
__dcm_client_words() {
	local i skip=0
	words=()
	for ((i = 1; i < COMP_CWORD; i++)); do
		if ((skip)); then
			skip=0
			continue
		fi
		case ${COMP_WORDS[i]} in
		--instance | --runtime-dir | --format | --filter | -f | -n) skip=1 ;;
		-* | =) ;;
		*) words+=("${COMP_WORDS[i]}") ;;
		esac
	done
}

__dcm_client_options() {
	local options="--instance --runtime-dir --json --format --help --version"
	case $1 in
	ps) options+=" --filter -q --refresh --strict" ;;
	get | stack | label | search) options+=" --refresh --strict" ;;
	top | logs) options+=" -n" ;;
	refresh) options+=" --all" ;;
	watch) options+=" --filter" ;;
	esac
	echo "$options"
}

__dcm_client_argument() {
	local command=$1 place=$2 host=$3
	case $command in
	ps | discover | forget)
		((place == 1)) && __dcm_client_ask hosts --format '{id}'
		;;
	refresh | doctor) __dcm_client_ask hosts --format '{id}' ;;
	get | logs)
		if ((place == 1)); then
			__dcm_client_ask hosts --format '{id}'
		elif ((place == 2)); then
			__dcm_client_ask ps "$host" --format '{name}'
		fi
		;;
	stack) __dcm_client_ask ps --format '{compose_project}' | sort -u ;;
	status) echo created running paused restarting removing exited dead ;;
	mounts) compgen -f -- "$cur" ;;
	esac
}

_dcm_client() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} words
	local commands="hosts ps get stack label search top mounts network status health discover
		stats logs refresh forget watch doctor"
	local filters="id= name= label= status= health= ancestor= network= volume= exited= publish=
		expose= before= since= is-task= host= project= service="

	case $prev in
	--format)
		mapfile -t COMPREPLY < <(compgen -W "table json" -- "$cur")
		return
		;;
	--filter | -f)
		mapfile -t COMPREPLY < <(compgen -W "$filters" -- "$cur")
		compopt -o nospace
		return
		;;
	--runtime-dir)
		mapfile -t COMPREPLY < <(compgen -d -- "$cur")
		return
		;;
	--instance | -n) return ;;
	esac
	__dcm_client_words
	if [[ $cur == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$(__dcm_client_options "${words[0]}")" -- "$cur")
	elif ((${#words[@]} == 0)); then
		mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$cur")
	else
		mapfile -t COMPREPLY < <(compgen -W \
			"$(__dcm_client_argument "${words[0]}" ${#words[@]} "${words[1]}")" -- "$cur")
	fi
}

complete -F _dcm_client dcm-client
