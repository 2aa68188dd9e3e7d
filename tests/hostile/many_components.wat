;; Contains 1,001 components.
;; expect: rejected "component"
(component <<1001 times (component) >>)
