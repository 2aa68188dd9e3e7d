;; Contains a section that claims to be longer than the file.
;; expect: rejected "cannot load the component"
(component binary "\00asm\0d\00\01\00" "\01\ff\ff\ff\7f" "\00asm")
