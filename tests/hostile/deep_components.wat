;; A component in a component in a component, 3,000 deep, in bytes that never end.
;; expect: refused "is not a component that can run here"
(component binary "\00asm\0d\00\01\00" "<<3000 times \04\ff\ff\ff\7f\00asm\0d\00\01\00>>")
