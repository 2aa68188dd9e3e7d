;; Declares ten memories.
;; shell: retry
;; expect: rejected "memor"
(core module $guest
  <<10 times (memory 1) >>
  (func (export "classify") (param $failure i32) (result i32) (unreachable)))
