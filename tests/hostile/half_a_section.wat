;; A section that says it is longer than the file.
;; expect: refused "is not a component that can run here"
(component binary "\00asm\0d\00\01\00" "\01\ff\ff\ff\7f" "\00asm")
