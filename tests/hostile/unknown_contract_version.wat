;; Is built for a version of the contract that does not exist.
;; expect: rejected "built for version 9.9.9 of the contract"
(component (import "tidegate:policy/metrics@9.9.9" (instance)))
