;; Is built for a contract that is not made yet.
;; expect: refused "built for 9.9.9 of the contract"
(component (import "tidegate:policy/metrics@9.9.9" (instance)))
