_opstore_completion() {
    local IFS=$'\n'
    local response completion type value

    response=$(env COMP_LINE="${COMP_LINE:0:COMP_POINT}" COMP_WORDBREAKS="$COMP_WORDBREAKS" \
        _OPSTORE_COMPLETE=bash_complete "$1" 2>/dev/null)
    COMPREPLY=()

    for completion in $response; do
        type=${completion%%,*}
        value=${completion#*,}
        if [[ $type == 'dir' ]]; then
            compopt -o dirnames
        elif [[ $type == 'file' ]]; then
            compopt -o default
        elif [[ $type == 'plain' ]]; then
            COMPREPLY+=("$value")
            [[ $value == *: ]] && compopt -o nospace
        fi
    done

    return 0
}

complete -o nosort -F _opstore_completion opstore
