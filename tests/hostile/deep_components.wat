;; Nests components 3,000 levels deep, each of which claims to be longer than the file.
;; expect: rejected "cannot load the component"
(component binary "\00asm\0d\00\01\00" "<<3000 times \04\ff\ff\ff\7f\00asm\0d\00\01\00>>")
